use std::task::Waker;

use kser_core::{Cancellation, Record};

use super::group::Group;

/// Work that waits until the lock is released, because it runs code outside the broker, which may call the broker again.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) wakers: Vec<Waker>,
    pub(super) revoked: Vec<Cancellation>,
    pub(super) unwanted: Vec<Record>,
    pub(super) groups: Vec<Group>,
}

impl Deferred {
    pub(super) fn run(self) {
        for revoked in self.revoked {
            revoked.cancel();
        }
        self.wakers.into_iter().for_each(Waker::wake);
    }
}
