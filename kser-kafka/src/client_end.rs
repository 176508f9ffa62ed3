//! How the life of a consumer's client ends.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long leaving the group is waited for.
const LEAVE: Duration = Duration::from_millis(800);

/// Why a group does not admit a member whose settings are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Another member has the instance's name, until it leaves or its session ends.
    InstanceHeld,
    /// The members of the group rebalance in another way.
    OtherRebalance,
}

/// Drops a client, which leaves its group, and waits for that within a limit: with brokers that are silent it takes
/// minutes.
pub(crate) fn leave<C: Send + 'static>(consumer: C) {
    let (left, leaving) = mpsc::channel();
    let leave = move || {
        drop(consumer);
        let _ = left.send(());
    };
    if thread::Builder::new().spawn(leave).is_ok() {
        let _ = leaving.recv_timeout(LEAVE);
    }
}
