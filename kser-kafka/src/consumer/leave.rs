//! How the life of a consumer's client ends.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kser_core::Error;

/// The time for leaving a group whose brokers answer, and of one whose brokers have just been silent.
pub(crate) const LEAVE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(800));

/// Why a group does not admit a member whose settings are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Another member has the instance's name, until it leaves or its session ends.
    InstanceHeld,
    /// The group has as many members as the brokers allow, until one leaves.
    GroupFull,
    /// The members of the group rebalance in another way.
    OtherRebalance,
}

/// Drops a client, which leaves its group, and waits for that within a limit: with brokers that are silent it takes
/// minutes.
///
/// # Errors
///
/// [`Error::TimedOut`] when the client has not left within the limit. It goes on to try, on a thread of its own.
pub(crate) fn leave<C: Send + 'static>(consumer: C, limit: Duration) -> Result<(), Error> {
    let (left, leaving) = mpsc::channel();
    let leave = move || {
        drop(consumer);
        let _ = left.send(());
    };
    let started = thread::Builder::new().spawn(leave);
    match started.is_ok() && leaving.recv_timeout(limit).is_ok() {
        true => Ok(()),
        false => Err(Error::TimedOut {
            what: "leaving the group",
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// Is dropped once it is told to be.
    struct Leaves(Receiver<()>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn a_client_that_has_not_left_in_time_is_an_error() {
        let (tell, told) = channel();
        let error = leave(Leaves(told), Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        drop(tell);
        let (tell, told) = channel();
        drop(tell);
        leave(Leaves(told), Duration::from_secs(30)).unwrap();
    }
}
