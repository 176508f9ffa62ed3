//! The HTTP interface: the documents that the program `kser` prints with `--json`, by the names of its commands.

pub(crate) mod acts;
pub(crate) mod answers;
pub(crate) mod looks;
pub(crate) mod openapi;

use axum::Router;
use axum::routing::{get, post};

use crate::answer::Web;

/// The beginning of the paths of the interface.
pub(crate) const PATH: &str = "/api/v1";

/// Makes the routes of the interface, those that act among them if there are acts.
pub(crate) fn routes(has_acts: bool) -> Router<Web> {
    let looks = Router::new()
        .route("/api/v1/status", get(looks::status))
        .route("/api/v1/runs", get(looks::runs))
        .route("/api/v1/run-causes", get(looks::run_causes))
        .route("/api/v1/runs/{id}", get(looks::run))
        .route("/api/v1/runs/{id}/why", get(looks::why))
        .route("/api/v1/runs/{id}/outcome", get(looks::outcome))
        .route("/api/v1/letters", get(looks::letters))
        .route("/api/v1/letter-causes", get(looks::letter_causes))
        .route(
            "/api/v1/letters/{topic}/{partition}/{offset}",
            get(looks::letter),
        )
        .route("/api/v1/consumers", get(looks::consumers))
        .route("/api/v1/consumers/{id}", get(looks::consumer))
        .route("/api/v1/topics", get(looks::topics))
        .route("/api/v1/groups", get(looks::groups))
        .route("/api/v1/waiting", get(looks::waiting))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/{*rest}", get(looks::missing));
    match has_acts {
        true => looks
            .route("/api/v1/runs/{id}/act/{verb}", post(acts::one))
            .route("/api/v1/act/runs/{verb}", post(acts::runs))
            .route("/api/v1/act/letters/{verb}", post(acts::letters)),
        false => looks,
    }
}
