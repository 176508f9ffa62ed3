use crate::{Message, Topic};

/// A message that a handler sends: an output of its step, published only if the step succeeds, together with its
/// result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outgoing {
    /// What is sent. Its id is derived from the task's, so that a task that ran twice sends one id.
    pub message: Message,
    /// Where to, without the prefix; `None` for where the route says.
    pub topic: Option<Topic>,
    /// What orders it; `None` for nothing, or for the run's id where it asks for a run.
    pub key: Option<String>,
    /// Whether it asks for a run of an operation.
    pub launch: bool,
}
