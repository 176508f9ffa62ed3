//! The end of a consumer's client.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kser_core::Error;

/// The timeout of leaving a group: if the brokers answer, and if they have not answered the final commit.
pub(crate) const LEAVE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(800));

/// The reason why a group does not admit a member with correct settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Another member has the instance name, until it leaves or its session ends.
    InstanceHeld,
    /// The group has reached the maximum size that the brokers allow, until a member leaves.
    GroupFull,
    /// The members of the group use another assignor.
    OtherRebalance,
}

/// Drops a client, which leaves its group, and waits for that at most for `limit`: with silent brokers it takes minutes.
///
/// # Errors
///
/// [`Error::TimedOut`] if the client has not left within the limit. It goes on trying, on a thread of its own.
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

    /// A client whose drop blocks until the sender is dropped.
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
