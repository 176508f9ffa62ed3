/// The part of a topic id that commit metadata contains. A recreated topic has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicMark(u64);

impl TopicMark {
    /// Folds a topic id, which is random but for a few bits, to half of its length.
    pub(crate) const fn new(id: u128) -> Self {
        Self((id ^ id >> 64) as u64)
    }

    pub(super) const fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(super) const fn from_le_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}
