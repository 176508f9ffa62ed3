use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The paths of the interface, as OpenAPI 3.1.
const PATHS: &str = include_str!("../../openapi.json");

/// The description with the schemas of the documents.
static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    let empty = || serde_json::Value::Null;
    let moved = kser_ops::SCHEMA.replace("#/$defs/", "#/components/schemas/");
    let mut schema: serde_json::Value = serde_json::from_str(&moved).unwrap_or_else(|_| empty());
    let mut paths: serde_json::Value = serde_json::from_str(PATHS).unwrap_or_else(|_| empty());
    paths["components"]["schemas"] = schema["$defs"].take();
    format!("{paths:#}\n")
});

/// Answers with the description of the interface.
pub(crate) async fn show() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, DESCRIPTION.as_str()).into_response()
}
