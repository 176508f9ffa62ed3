use std::fmt;
use std::sync::{Mutex, PoisonError};

use kser_core::{Error, Record};

use super::deferred::Deferred;
use super::state::State;

/// All topics and groups, behind one lock, so that a settle publishes its outputs and acknowledges its delivery together.
pub(super) struct Broker {
    state: Mutex<State>,
    pub(super) largest_record: usize,
}

/// Leaves out the payloads, which may be secret.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    pub(super) fn new(largest_record: usize) -> Self {
        Self {
            state: Mutex::default(),
            largest_record,
        }
    }

    /// Calls `f` under the lock, and runs its deferred work after the lock is released.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State, &mut Deferred) -> T) -> T {
        let mut deferred = Deferred::default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = f(&mut state, &mut deferred);
        drop(state);
        deferred.run();
        done
    }

    /// Refuses a record that is too large.
    pub(super) fn fits(&self, record: &Record) -> Result<(), Error> {
        let (size, limit) = (record.size(), self.largest_record);
        match size > limit {
            true => Err(Error::TooLarge {
                what: "bytes of the record".into(),
                size,
                limit,
            }),
            false => Ok(()),
        }
    }
}
