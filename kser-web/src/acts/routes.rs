use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::{bulk, consumer, job_page, one};
use crate::access::Visitor;
use crate::answer::Web;
use crate::params::Params;

type Seen = Extension<Visitor>;

/// Makes the routes of the acts. A router without acts has none of them.
pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/runs/{id}/{act}", get(show_one).post(carry_one_out))
        .route(
            "/consumers/{id}/{act}",
            get(show_consumer).post(tell_consumer),
        )
        .route("/plan/{kind}/{act}", get(preview))
        .route("/plans/{id}", get(show_plan).post(begin))
        .route("/acts/{id}", get(show_job))
        .route("/acts/{id}/stop", post(stop))
}

async fn show_one(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((id, act)): Path<(String, String)>,
    params: Params,
) -> Response {
    web.show(&visitor, one::page(&web, &id, &act, &params))
        .await
}

async fn carry_one_out(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((id, act)): Path<(String, String)>,
    body: String,
) -> Response {
    one::carry_out(&web, &visitor, &id, &act, &Params::of(Some(&body))).await
}

async fn show_consumer(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((id, act)): Path<(String, String)>,
) -> Response {
    web.show(&visitor, async { consumer::page(&web, &id, &act) })
        .await
}

async fn tell_consumer(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((id, act)): Path<(String, String)>,
    body: String,
) -> Response {
    let form = Params::of(Some(&body));
    consumer::carry_out(&web, &visitor, &id, &act, &form).await
}

async fn preview(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path((kind, act)): Path<(String, String)>,
    params: Params,
) -> Response {
    match bulk::preview(&web, &kind, &act, &params).await {
        Ok(page) => web.answer(&visitor, &page),
        Err(error) => web.fail(&visitor, &error),
    }
}

async fn show_plan(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path(id): Path<String>,
) -> Response {
    match web.plans.find(&id) {
        Ok(planned) => web.answer(&visitor, &bulk::page(&web, &planned)),
        Err(error) => web.fail(&visitor, &error),
    }
}

async fn begin(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path(id): Path<String>,
    body: String,
) -> Response {
    bulk::begin(&web, &visitor, &id, &Params::of(Some(&body)))
}

async fn show_job(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path(id): Path<String>,
) -> Response {
    match job_page::page(&web, &id) {
        Ok(page) => web.answer(&visitor, &page),
        Err(error) => web.fail(&visitor, &error),
    }
}

async fn stop(
    State(web): State<Web>,
    Extension(visitor): Seen,
    Path(id): Path<String>,
) -> Response {
    match web.jobs.find(&id) {
        Ok(job) => {
            job.stop();
            Redirect::to(&web.options.links().to(&format!("/acts/{id}"))).into_response()
        }
        Err(error) => web.fail(&visitor, &error),
    }
}
