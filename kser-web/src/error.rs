use axum::http::StatusCode;
use kser::Error;
use kser_ops::OpsError;

/// Returns the status of the answer for an error of the model.
pub(crate) fn status(error: &OpsError) -> StatusCode {
    match error {
        OpsError::Kser(error) => of_kser(error),
        OpsError::NotFound { .. } => StatusCode::NOT_FOUND,
        OpsError::Refused { .. } => StatusCode::CONFLICT,
        OpsError::Invalid { .. } => StatusCode::BAD_REQUEST,
        OpsError::Needs { .. } => StatusCode::SERVICE_UNAVAILABLE,
        OpsError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn of_kser(error: &Error) -> StatusCode {
    match error {
        Error::UnknownRun { .. } | Error::MissingTopic { .. } => StatusCode::NOT_FOUND,
        Error::Rejected { .. } | Error::Conflict { .. } => StatusCode::CONFLICT,
        Error::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Invalid { .. } => StatusCode::BAD_REQUEST,
        Error::Backend { .. } | Error::Closed | Error::Lost => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
