use crate::{Message, Topic};

/// A message that a handler sends: an output of its step, published only if the step succeeds, together with its
/// result.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outgoing {
    /// The message. Its id is derived from that of the task, so that a task that runs twice sends one id.
    pub message: Message,
    /// The topic, without the prefix; `None` for that of the route.
    pub topic: Option<Topic>,
    /// The ordering key; `None` for no order, or for the id of the run where the message launches a run.
    pub key: Option<String>,
    /// Whether the message launches a run of an operation.
    pub launch: bool,
}
