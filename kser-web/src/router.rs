use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router, middleware};
use kser_ops::Ops;

use crate::access::{Visitor, guard};
use crate::acts;
use crate::answer::Web;
use crate::api;
use crate::assets;
use crate::live;
use crate::options::WebOptions;
use crate::pages;
use crate::params::Params;

/// Makes the pages for an operator: a router for a program of one's own, which may nest it under the path of
/// [`WebOptions::with_prefix`].
///
/// Without [`WebOptions::with_acts`] it has no route that changes anything.
pub fn router(ops: Ops, options: WebOptions) -> Router {
    let web = Web::new(ops, options);
    let acts = match web.options.has_acts() {
        true => acts::routes::routes(),
        false => Router::new(),
    };
    acts.merge(api::routes(web.options.has_acts()))
        .route("/", get(overview))
        .route("/runs", get(runs))
        .route("/runs/{id}", get(run))
        .route("/causes", get(run_causes))
        .route("/letters", get(letters))
        .route("/letters/list", get(letter_list))
        .route("/letters/at/{topic}/{partition}/{offset}", get(letter))
        .route("/consumers", get(consumers))
        .route("/waiting", get(waiting))
        .route("/live", get(live::stream::open))
        .route("/find", get(find))
        .route("/assets/{name}", get(assets::serve))
        .fallback(missing)
        .layer(middleware::from_fn_with_state(web.clone(), guard::guard))
        .with_state(web)
}

type Seen = Extension<Visitor>;

async fn overview(State(web): State<Web>, Extension(visitor): Seen) -> Response {
    web.show(&visitor, pages::overview::page(&web)).await
}

async fn runs(State(web): State<Web>, Extension(visitor): Seen, params: Params) -> Response {
    web.show(&visitor, pages::runs::page(&web, &visitor, &params))
        .await
}

async fn run(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path(id): Path<String>,
    params: Params,
) -> Response {
    let page = pages::run::page(&web, &visitor, &id, &params);
    web.show(&visitor, page).await
}

async fn run_causes(State(web): State<Web>, Extension(visitor): Seen) -> Response {
    web.show(&visitor, pages::run_causes::page(&web, &visitor))
        .await
}

async fn letters(State(web): State<Web>, Extension(visitor): Seen, params: Params) -> Response {
    web.show(&visitor, pages::letters::page(&web, &visitor, &params))
        .await
}

async fn letter_list(State(web): State<Web>, Extension(visitor): Seen, params: Params) -> Response {
    web.show(&visitor, pages::letter_list::page(&web, &params))
        .await
}

async fn letter(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((topic, partition, offset)): Path<(String, String, String)>,
    params: Params,
) -> Response {
    let address = format!("{topic}/{partition}/{offset}");
    let page = pages::letter::page(&web, &visitor, &address, &params);
    web.show(&visitor, page).await
}

async fn consumers(State(web): State<Web>, Extension(visitor): Seen) -> Response {
    web.show(&visitor, pages::consumers::page(&web, &visitor))
        .await
}

async fn waiting(State(web): State<Web>, Extension(visitor): Seen) -> Response {
    web.show(&visitor, pages::waiting::page(&web)).await
}

/// Finds a run by the beginning of its id.
async fn find(State(web): State<Web>, Extension(visitor): Seen, params: Params) -> Response {
    let text = params.get("q").unwrap_or_default().trim();
    match web.in_time(web.ops.find_run(text)).await {
        Ok(id) => Redirect::to(&web.options.links().run(&id)).into_response(),
        Err(error) => web.fail(&visitor, &error),
    }
}

async fn missing(State(web): State<Web>, Extension(visitor): Seen) -> Response {
    web.missing(&visitor)
}
