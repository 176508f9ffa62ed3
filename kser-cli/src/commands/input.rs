//! Arguments that are JSON, in a file, or on the standard input.

use std::io::Read;

use kser::Outcome;
use kser::message::Object;
use kser_ops::OpsError;
use serde::de::DeserializeOwned;

/// Reads the outcome of a step.
pub(super) fn outcome(text: &str) -> Result<Outcome, OpsError> {
    read("the outcome", text)
}

/// Reads the params of a task.
pub(super) fn params(text: &str) -> Result<Object, OpsError> {
    read("the params", text)
}

fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, OpsError> {
    let invalid = |reason: String| OpsError::Invalid {
        what: what.to_owned(),
        reason,
    };
    let text = match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let mut all = String::new();
            std::io::stdin()
                .read_to_string(&mut all)
                .map_err(|error| invalid(format!("the standard input: {error}")))?;
            all
        }
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| invalid(format!("the file {file}: {error}")))?,
        _ => text.to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| invalid(format!("it is not JSON of its form: {error}")))
}
