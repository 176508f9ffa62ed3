use std::time::Duration;

use kser_core::Record;
use kser_core::store::OutputId;

/// What becomes of a delivery. Whoever decides has no ticket, so that no path can forget it.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is done, and these follow.
    Done(Done),
    /// It is kept, and looked at again after this long: whoever decides may go by another clock than whoever waits.
    Later(Duration),
    /// It is given back.
    Back,
    /// It is looked at again with nothing beside it.
    Alone,
}

/// What follows a delivery that is done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    /// Published in the same settle.
    pub(crate) records: Vec<Record>,
    /// Those of them that the store keeps until they are relayed.
    pub(crate) relayed: Vec<OutputId>,
}

impl Decision {
    /// Done, and nothing follows.
    pub(crate) fn quiet() -> Self {
        Self::Done(Done::default())
    }

    /// Done, and these follow.
    pub(crate) fn done(records: Vec<Record>) -> Self {
        Self::Done(Done {
            records,
            relayed: Vec::new(),
        })
    }
}
