use std::hash::{BuildHasher, RandomState};

/// A member of a group that lives, as the text of its commits names it: one that starts again is another.
///
/// A member that reads its own name knows that nobody has begun a record since it wrote that: whoever takes a partition
/// over writes first. Nor can the records have killed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterId(pub(super) u64);

impl WriterId {
    /// Draws a name at random. Texts have room for 32 bits of it.
    pub(crate) fn new() -> Self {
        Self(RandomState::new().hash_one(()) >> 32)
    }
}
