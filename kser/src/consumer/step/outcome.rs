use kser_core::{Message, Outcome};

/// Names the task that left an outcome, if the outcome does not.
pub(crate) fn with_task(outcome: Outcome, message: &Message) -> Outcome {
    match outcome.uuid() {
        Some(_) => outcome,
        None => outcome.with_uuid(message.uuid.clone()),
    }
}
