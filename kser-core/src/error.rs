use std::borrow::Cow;
use std::time::Duration;

use crate::cause::{Source, report};
use crate::sequencing::Rejected;
use crate::{InvalidTopic, JsonError, Name, NotPublished, RunId, Status, TaskError};

/// An error of kser. Each variant is one thing that a caller can do differently.
///
/// The failure of a task is not an `Error`: it is an [`Outcome`](crate::Outcome), data in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Names have more than one handler. Register each of them once.
    #[error("registered more than once: {}", list(entrypoints))]
    Duplicate {
        /// The names, in alphabetical order.
        entrypoints: Vec<Name>,
    },
    /// A value has no JSON form, or not that of an object. Change the value.
    #[error("cannot write the value as JSON")]
    Encode {
        /// The error of the encoder.
        source: Source,
    },
    /// Bytes are not a message, or not of the expected form. The sender has to change.
    #[error("cannot read the message")]
    Decode {
        /// The unexpected content, with its place.
        source: Source,
    },
    /// A value is over its limit. Make it smaller, raise the limit, or take the way out that the text names.
    #[error("{what} is {size}, over the limit of {limit}")]
    TooLarge {
        /// The value that is over the limit, with its unit and the way out.
        what: Cow<'static, str>,
        /// The size.
        size: usize,
        /// The largest size.
        limit: usize,
    },
    /// A record is too large for its topic, and is not published. Make it smaller, or raise the limit of the topic, which is
    /// `max.message.bytes` on Kafka.
    #[error("topic {topic} does not take a record of {size} bytes{}", its_limit(*limit))]
    TooLargeForTopic {
        /// The name of the topic.
        topic: String,
        /// The size of the record, without the bytes that the backend adds to it.
        size: usize,
        /// The largest size, with those bytes; `None` when the backend does not tell.
        limit: Option<usize>,
    },
    /// The retention of a topic would delete a delayed record before it is due; the record is not published. Choose a
    /// shorter delay, or raise the retention of the topic, which is `retention.ms` on Kafka.
    #[error(
        "a record would wait {wait:?} in topic {topic}, which keeps its records for {kept:?} only"
    )]
    NotKept {
        /// The topic in which the record would wait.
        topic: String,
        /// The time for which it would wait.
        wait: Duration,
        /// The time for which the topic keeps its records.
        kept: Duration,
    },
    /// A topic refuses the record as it is, for another reason than its size: on Kafka a compacted topic takes no record without a
    /// key.
    #[error("topic {topic} refuses the record")]
    RefusedByTopic {
        /// The topic.
        topic: String,
        /// The error of the transport.
        source: Source,
    },
    /// A name cannot be that of a topic, in Kafka as here.
    #[error("{name:?} cannot be a topic name: {reason}")]
    InvalidTopic {
        /// The name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A value that the caller gave does not work, such as a retry policy with no attempts or a URL without a scheme.
    #[error("{what}: {reason}")]
    Invalid {
        /// The value.
        what: String,
        /// The reason why it does not work.
        reason: String,
    },
    /// The topic does not exist. The text says which call makes it.
    #[error(
        "topic {topic} does not exist; make it with `ensure_topics`, or on Kafka with `?create=6` in the URL"
    )]
    MissingTopic {
        /// Its name.
        topic: String,
    },
    /// The plan of an operation is not one that can run: two steps with one id, or a step that cannot be sent.
    #[error("step {position} of the operation cannot run: {reason}")]
    InvalidStep {
        /// The position of the step, counted from 1.
        position: u32,
        /// The reason.
        reason: String,
    },
    /// A run that is under way cannot be reached without a state store. No record was sent.
    ///
    /// Name a store (`ClientBuilder::store` of `kser`), or repair a carried run that failed by replaying its dead letter.
    #[error("{verb} needs a state store, and this client has none")]
    NeedsStore {
        /// The call that needs the store.
        verb: &'static str,
    },
    /// The store has no such run, or there is no event of it.
    #[error("no such operation: {id}")]
    UnknownRun {
        /// The run.
        id: RunId,
    },
    /// The run exists and was launched with other content.
    #[error("operation {id} was launched before, with other content")]
    Conflict {
        /// The run.
        id: RunId,
    },
    /// The run is in a state that does not allow this.
    #[error("operation {id} does not allow this")]
    Rejected {
        /// The run.
        id: RunId,
        /// The reason.
        source: Rejected,
    },
    /// The run has ended without success.
    #[error("operation {id} is {status}: {error}")]
    Unsuccessful {
        /// The run.
        id: RunId,
        /// The status at the end.
        status: Status,
        /// The error of the last step.
        error: TaskError,
    },
    /// The transport did not acknowledge a message, which may have been sent or not.
    ///
    /// Launching the same id again is idempotent where the state is stored: there is one run. Where the state is carried,
    /// and for a lone task, it may run a second time.
    #[error("message {id} was not acknowledged; it may have been sent")]
    MaybeSent {
        /// The id of the run or of the task.
        id: RunId,
        /// The error of the transport.
        source: Source,
    },
    /// Some outputs of a settle are not published. The outputs that the source does not name are published.
    #[error("not all outputs are published")]
    Unpublished {
        /// The outputs that are not published, with the reasons.
        source: NotPublished,
    },
    /// A wait took longer than its limit. The operation that the caller waited for goes on.
    #[error("{what} took longer than the time limit of the wait")]
    TimedOut {
        /// The operation that the caller waited for.
        what: &'static str,
    },
    /// The transport or the subscription is closed.
    #[error("the transport or the subscription is closed")]
    Closed,
    /// The delivery was reassigned: the record was, or will be, delivered to another consumer.
    #[error("the delivery was reassigned to another consumer")]
    Lost,
    /// A consumer of this client has failed, so that the run that the caller waits for may never end. The run is
    /// unchanged: start a consumer of the same topics, and wait again.
    #[error("a consumer of this client has failed: {error}")]
    ConsumerFailed {
        /// The error of the consumer, with its causes.
        error: String,
    },
    /// Another process has taken over the name of the instance. This process must stop.
    #[error("instance {instance} was started again elsewhere")]
    Superseded {
        /// The name.
        instance: String,
    },
    /// A feature is not available, such as a URL whose backend is not compiled in. The text names the way out.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The feature.
        what: String,
        /// The way to make it available.
        hint: String,
    },
    /// A backend failed.
    #[error("{backend} failed")]
    Backend {
        /// The name of the backend, such as `kafka`.
        backend: &'static str,
        /// Whether a retry may succeed.
        temporary: bool,
        /// The error of the backend.
        source: Source,
    },
}

impl Error {
    /// Says whether a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unpublished { source } => {
                let mut failed = source.failed.iter();
                failed.all(|(_, error)| error.is_temporary())
            }
            Self::Backend { temporary, .. } => *temporary,
            Self::MaybeSent { .. } | Self::TimedOut { .. } => true,
            _ => false,
        }
    }

    /// Says whether a value is over a limit, so that it is certainly not sent.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooLargeForTopic { .. })
    }

    /// Says whether a topic refuses the record as it is, so that no retry will send it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.is_too_large() || matches!(self, Self::NotKept { .. } | Self::RefusedByTopic { .. })
    }

    /// Returns the text of the error followed by those of its causes, as `error: cause: cause`. `Display` leaves the causes
    /// out.
    #[must_use]
    pub fn report(&self) -> String {
        report(self)
    }

    pub(crate) fn decode(source: impl Into<Source>) -> Self {
        Self::Decode {
            source: source.into(),
        }
    }
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Encode { source } => Self::Encode { source },
            JsonError::Decode { source } => Self::Decode { source },
        }
    }
}

impl From<InvalidTopic> for Error {
    fn from(InvalidTopic { name, reason }: InvalidTopic) -> Self {
        Self::InvalidTopic { name, reason }
    }
}

fn its_limit(limit: Option<usize>) -> String {
    limit.map_or_else(String::new, |limit| format!(": its limit is {limit}"))
}

fn list(names: &[Name]) -> String {
    let names: Vec<_> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_every_cause() {
        let cause = Error::decode("no bytes");
        let error = Error::Backend {
            backend: "kafka",
            temporary: false,
            source: cause.into(),
        };
        assert_eq!(
            error.report(),
            "kafka failed: cannot read the message: no bytes"
        );
    }
}
