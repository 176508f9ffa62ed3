use kser_core::{Error, Outcome, TaskError};

/// Makes the outcome of a step whose record, or the record after it, is not sent for this error.
pub(crate) fn outcome(error: &Error) -> Outcome {
    let (name, code) = match error {
        Error::TooLarge { .. } | Error::TooLargeForTopic { .. } => ("TooLarge", 413),
        Error::NotKept { .. } => ("NotKept", 507),
        Error::RefusedByTopic { .. } => ("Refused", 422),
        Error::InvalidStep { .. } => ("InvalidPlan", 400),
        Error::InvalidTopic { .. } => ("InvalidTopic", 400),
        Error::MissingTopic { .. } => ("MissingTopic", 404),
        _ => ("NotSent", 500),
    };
    let error = TaskError::new(name, error.to_string()).with_code(code);
    Outcome::from(&error.into_permanent())
}

/// Makes the outcome of a report that is wrong.
pub(crate) fn invalid_report(text: &str) -> Outcome {
    Outcome::from(&TaskError::new("InvalidReport", text).with_code(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind() {
        let topic = "t".to_owned();
        let named = [
            (
                Error::TooLarge {
                    what: "bytes".into(),
                    size: 2,
                    limit: 1,
                },
                ("TooLarge", 413),
            ),
            (Error::MissingTopic { topic }, ("MissingTopic", 404)),
            (
                Error::InvalidStep {
                    position: 2,
                    reason: "the plan does not have it".to_owned(),
                },
                ("InvalidPlan", 400),
            ),
            (Error::Closed, ("NotSent", 500)),
        ];
        for (error, expected) in named {
            let told = outcome(&error).error().unwrap();
            assert_eq!((told.name(), told.code()), expected);
            assert_eq!(told.message(), error.to_string());
        }
    }
}
