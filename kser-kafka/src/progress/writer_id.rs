use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The random id of one member, which its commit metadata contains. A restarted member has another id.
///
/// A member that reads its own id back knows that no other member has started a record since, because each new owner of a
/// partition commits before it starts records. Nor can the records have killed the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterId(pub(super) u64);

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl WriterId {
    /// Draws a random id. Commit metadata has room for 32 bits.
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(()) >> 32)
    }
}
