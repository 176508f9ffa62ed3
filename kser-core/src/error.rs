use std::borrow::Cow;
use std::time::Duration;

use crate::cause::{Source, report};
use crate::sequencing::Rejected;
use crate::{InvalidTopic, JsonError, Name, NotPublished, RunId, Status, TaskError};

/// What can go wrong, by what the caller could do about it.
///
/// A task's failure is none of these: it is an [`Outcome`](crate::Outcome), data on the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Entrypoints have two handlers each. Register them once.
    #[error("registered more than once: {}", list(entrypoints))]
    Duplicate {
        /// Their names, in alphabetical order.
        entrypoints: Vec<Name>,
    },
    /// A value has no JSON form, or not that of an object. Change the value.
    #[error("cannot write the value as JSON")]
    Encode {
        /// What the encoder says.
        source: Source,
    },
    /// Bytes are not what they should be. The sender is wrong.
    #[error("cannot read the message")]
    Decode {
        /// What was seen, and where.
        source: Source,
    },
    /// Something is over its limit. Make it smaller, raise the limit, or take the way out that is named.
    #[error("{what} is {size}, over the limit of {limit}")]
    TooLarge {
        /// What is over the limit, with its unit and the way out.
        what: Cow<'static, str>,
        /// How large it is.
        size: usize,
        /// How large it may be.
        limit: usize,
    },
    /// A topic does not take a record of this size, and it is not published. Make it smaller, or raise the topic's limit,
    /// which is `max.message.bytes` on Kafka.
    #[error("topic {topic} does not take a record of {size} bytes{}", its_limit(*limit))]
    TooLargeForTopic {
        /// Its name.
        topic: String,
        /// How large the record is, without what the backend adds to it.
        size: usize,
        /// How large it may be with that; `None` when the backend does not tell.
        limit: Option<usize>,
    },
    /// A record would wait where it is deleted before it is due, and is not published. Wait less, or raise the topic's
    /// retention, which is `retention.ms` on Kafka.
    #[error(
        "a record would wait {wait:?} in topic {topic}, which keeps its records for {kept:?} only"
    )]
    NotKept {
        /// The topic in which it would wait.
        topic: String,
        /// How long it would wait there.
        wait: Duration,
        /// How long the topic keeps its records.
        kept: Duration,
    },
    /// A topic cannot have this name, in Kafka as here.
    #[error("{name:?} cannot be a topic name: {reason}")]
    InvalidTopic {
        /// The name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A value that was given is not one that works, such as a retry policy with no attempts or a URL without a scheme.
    #[error("{what}: {reason}")]
    Invalid {
        /// What was given.
        what: String,
        /// Why it does not work.
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
        /// Which step, counted from 1.
        position: u32,
        /// Why it cannot.
        reason: String,
    },
    /// Without a state store a run that is under way cannot be reached. Nothing was sent.
    ///
    /// Name a store (`connect_with_store`), or repair a carried run that failed by replaying its dead letter.
    #[error("{verb} needs a state store, and this connection has none")]
    NeedsStore {
        /// What was asked for.
        verb: &'static str,
    },
    /// No such run is known to the store.
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
        /// Why not.
        source: Rejected,
    },
    /// The run has ended without success.
    #[error("operation {id} is {status}: {error}")]
    Unsuccessful {
        /// The run.
        id: RunId,
        /// How it ended.
        status: Status,
        /// What its last step said.
        error: TaskError,
    },
    /// The message may have been sent or not.
    ///
    /// Launching the same id again does no harm where the state is stored: it is one run. Where it is carried, and for a lone
    /// task, it may run a second time.
    #[error("message {id} may have been sent or not")]
    MaybeSent {
        /// The id of the run or of the task.
        id: RunId,
        /// Why nobody knows.
        source: Source,
    },
    /// Some outputs of a settle are not published; those that are not named are.
    #[error("not all outputs are published")]
    Unpublished {
        /// Which are not, and why.
        source: NotPublished,
    },
    /// The time that was given for waiting is over. What was waited for goes on.
    #[error("{what} took longer than the time given for it")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
    },
    /// The transport or the subscription is closed.
    #[error("closed")]
    Closed,
    /// The delivery is no longer ours: it will be, or was, delivered to someone else.
    #[error("the delivery belongs to someone else now")]
    Lost,
    /// A consumer of this connection has failed, so that the run that is waited for may never end. The run is as it was:
    /// start a consumer of the same topics, and wait again.
    #[error("a consumer of this connection has failed: {error}")]
    ConsumerFailed {
        /// What it failed with, with its causes.
        error: String,
    },
    /// Another process has taken over the instance's name. This one must stop.
    #[error("instance {instance} was started again elsewhere")]
    Superseded {
        /// The name.
        instance: String,
    },
    /// This cannot be done here, such as a URL whose backend is not compiled in. The text names the way out.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// What is not.
        what: String,
        /// What would make it so.
        hint: String,
    },
    /// A backend failed.
    #[error("{backend} failed")]
    Backend {
        /// Which one, such as `kafka`.
        backend: &'static str,
        /// Whether doing the same again may work.
        temporary: bool,
        /// Its own error.
        source: Source,
    },
}

impl Error {
    /// Says whether doing the same again may work.
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

    /// Says whether something is over a limit, so that it is certainly not sent.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooLargeForTopic { .. })
    }

    /// Says whether a topic does not take a record as it is, so that it is certainly not sent, now or later.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.is_too_large() || matches!(self, Self::NotKept { .. })
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
