use std::sync::Arc;

use crate::faults::{Fault, Kind};

/// The mark of an event of a trace: the act, and its subject. A picture of the run is drawn by it; the text of the trace has no
/// part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) act: Act,
    /// The label of the message, or the path of the call, whose last part is its verb.
    pub(crate) about: Option<Arc<str>>,
}

/// The act of an event: the part of the simulation that a process calls, or a change of the process itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Act {
    #[default]
    Other,
    /// A process starts.
    Start,
    /// A process ends by itself.
    End,
    Crash,
    /// A process that was frozen goes on.
    Thaw,
    /// An outage ends.
    Recover,
    /// A fault is injected at a call of this kind.
    Fault(Fault, Kind),
    /// A call of this kind fails because of an outage.
    Refuse(Kind),
    Join,
    Leave,
    Publish,
    Receive,
    /// A delivery is acknowledged, or the broker refuses it.
    Commit {
        accepted: bool,
    },
    /// A delivery is released.
    Release,
    /// The store writes, or refuses to.
    Write {
        accepted: bool,
    },
    /// A handler calls an external service.
    Effect(Arc<str>),
    /// A handler begins.
    Begin,
    /// A handler returns.
    Return {
        succeeded: bool,
    },
}

impl Act {
    /// Makes the mark of the act on a message.
    pub(crate) fn of(self, about: impl Into<Arc<str>>) -> Mark {
        Mark {
            act: self,
            about: Some(about.into()),
        }
    }
}

impl From<Act> for Mark {
    fn from(act: Act) -> Self {
        Self { act, about: None }
    }
}
