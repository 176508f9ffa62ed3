//! Publishes records of producers, and tells a certain refusal from a record that may have been sent.

use kser_core::log::LogOptions;
use kser_core::{Error, Name, Outcome, Record, TaskError, TaskId, Topic};

use crate::shared::Shared;

/// Publishes one record, and logs the result.
pub(crate) async fn publish_one(
    shared: &Shared,
    record: Record,
    entrypoint: &Name,
    uuid: &TaskId,
) -> Result<(), Error> {
    let topic = record.topic.clone();
    let published = shared.publish(vec![record]).await;
    let published = published.map_err(|failed| maybe_sent(failed.into_error(), uuid));
    log_published(&published, Some(&topic), entrypoint, uuid);
    published
}

/// Says whether a subscriber of `tracing` takes the log lines of sent records.
pub(crate) fn is_logged() -> bool {
    tracing::enabled!(target: "kser", tracing::Level::INFO)
}

/// `Producer.Success: dice.DiceRoll[872c…]: Message dice.DiceRoll[872c…] sent in dice`, or `Producer.Failed: …`.
pub(crate) fn log_published(
    published: &Result<(), Error>,
    topic: Option<&Topic>,
    entrypoint: &Name,
    uuid: &TaskId,
) {
    let longest = LogOptions::default().longest();
    match (published, topic) {
        (Ok(()), Some(topic)) if is_logged() => {
            let text = format!("Message {entrypoint}[{uuid}] sent in {topic}");
            let outcome = Outcome::text(text);
            kser_core::log::success("Producer", entrypoint, uuid, &outcome, longest);
        }
        (Ok(()), _) => {}
        (Err(error), _) => {
            let outcome = Outcome::from(&TaskError::internal(error.report()));
            kser_core::log::failed("Producer", entrypoint, uuid, &outcome, longest);
        }
    }
}

/// Converts an error of publishing into [`Error::MaybeSent`], unless it is a certain refusal.
pub(crate) fn maybe_sent(error: Error, id: &TaskId) -> Error {
    match is_refusal(&error) {
        true => error,
        false => Error::MaybeSent {
            id: id.clone().into(),
            source: error.into(),
        },
    }
}

/// Says whether it is certain that nothing was published.
pub(crate) const fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLarge { .. }
            | Error::TooLargeForTopic { .. }
            | Error::MissingTopic { .. }
            | Error::InvalidTopic { .. }
            | Error::Unsupported { .. }
    )
}
