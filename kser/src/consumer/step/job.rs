use kser_core::{Context, Message, OperationEntry, TaskEntry, TaskError, Timestamp};

use crate::consumer::options::LAST_CALL;

/// The job that a message asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Job<'a> {
    /// A task, lone or a step.
    Task(&'a TaskEntry),
    /// The steps of an operation.
    Build(&'a OperationEntry),
    /// An operation's hook, to be told of a change.
    Hook(&'a OperationEntry),
}

impl Job<'_> {
    pub(crate) fn time_limit(self) -> std::time::Duration {
        match self {
            Self::Task(entry) => entry.time_limit(),
            Self::Build(entry) | Self::Hook(entry) => entry.time_limit(),
        }
    }

    /// Tells a task that its attempt took too long, within a second.
    pub(crate) async fn tell_failed(self, ctx: &Context, error: &TaskError) {
        if let Self::Task(entry) = self
            && tokio::time::timeout(LAST_CALL, entry.tell_failed(ctx, error))
                .await
                .is_err()
        {
            tracing::warn!(target: "kser", entrypoint = ?entry.entrypoint(), "on_error of a task that took too long is dropped: it did not end within {LAST_CALL:?}");
        }
    }

    /// When a failed attempt is followed by another.
    pub(crate) fn retry_at(
        self,
        message: &Message,
        attempts: u32,
        error: &TaskError,
        first_failed: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let policy = match self {
            Self::Task(entry) => entry.retry(),
            Self::Build(entry) | Self::Hook(entry) => entry.retry(),
        };
        policy.next(&message.uuid, attempts, error, first_failed, now)
    }
}
