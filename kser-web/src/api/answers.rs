use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kser_ops::{ErrorDocument, ErrorKind, OpsError};
use serde::Serialize;

use crate::error;
use crate::html::text;

/// The longest text of an error, in characters.
const LONGEST: usize = 2000;

/// Answers with a document, or with the error.
pub(super) fn document<T: Serialize>(document: &Result<T, OpsError>) -> Response {
    match document {
        Ok(document) => json(StatusCode::OK, document),
        Err(error) => failed(error),
    }
}

/// Answers with an error as JSON.
pub(super) fn failed(error: &OpsError) -> Response {
    let message = text(&error.to_string(), LONGEST);
    json(error::status(error), &ErrorDocument::new(error, &message))
}

/// Answers a request that is not let in.
pub(crate) fn refused(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::UNAUTHORIZED => {
            "a token is needed: the header Authorization, or the cookie of a browser"
        }
        StatusCode::MISDIRECTED_REQUEST => {
            "this server has another name than the host of the request"
        }
        _ => "the request is refused: it has no rights, or comes from another site",
    };
    json(
        status,
        &ErrorDocument::of(ErrorKind::Refused, message, false),
    )
}

/// Writes a document as the program `kser` does.
fn json<T: Serialize>(status: StatusCode, document: &T) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string_pretty(document) {
        Ok(text) => (status, kind, text + "\n").into_response(),
        Err(error) => {
            tracing::error!(target: "kser", %error, "writing a document as JSON failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
