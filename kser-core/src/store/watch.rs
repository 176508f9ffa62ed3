use std::fmt::{self, Debug};
use std::time::Duration;

use serde::Serialize;

/// Keeps a run in its store until it is dropped: [`StateStore::watch`](crate::StateStore::watch).
#[must_use = "the run is kept until this is dropped"]
#[derive(Default)]
pub struct Watch(Option<Box<dyn Send + Sync>>);

impl Watch {
    /// Makes a watch for a store that removes no run by itself.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Makes a watch that drops `guard` with it.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// The health of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoreHealth {
    /// The number of runs that failed or were cancelled and that the store has removed by itself, because it keeps no
    /// more of them. They cannot be repaired any more.
    pub forgotten: u64,
    /// The age of the oldest transaction that is open in the database, another program's among them; `None` where there is none, or
    /// where the store does not know. The old versions of rows stay as long as it is open, and looks for due runs become
    /// slower by the minute. A store may answer with the age at an earlier call.
    pub oldest_snapshot: Option<Duration>,
}
