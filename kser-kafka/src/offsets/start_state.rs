//! The state of a partition that starts, by the committed offset of the group and the bounds of the log.

use crate::commit::Committed;
use crate::offsets::log_bounds::LogBounds;

/// The relation between the committed offset and the log of a partition that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartState {
    /// The group has committed an offset within the log, or at its end.
    Committed,
    /// The group has no committed offset, and the log spans this many offsets.
    Nothing(u64),
    /// The log starts above the committed offset: this many offsets that were not done are deleted.
    Deleted(u64),
    /// The log ends below the committed offset: the committed offset, and the end of the log.
    Beyond(i64, i64),
    /// The log ends at this offset, above which the group has settled records out of order.
    Cut(i64),
    /// The group has committed this offset for a deleted topic of the same name.
    Recreated(i64),
}

impl StartState {
    /// Explains why a partition whose log begins at `start` has no usable committed offset.
    pub(super) fn reason(self, start: i64) -> String {
        match self {
            Self::Committed | Self::Cut(_) => "has a committed offset".to_owned(),
            Self::Nothing(_) => {
                format!("has no committed offset; its log begins at offset {start}")
            }
            Self::Deleted(count) => format!(
                "has a committed offset, but the {count} offsets after it are deleted; its log begins at offset {start}"
            ),
            Self::Beyond(committed, end) => {
                format!("has the committed offset {committed}, but its log ends at offset {end}")
            }
            Self::Recreated(offset) => {
                format!("has the committed offset {offset} of a topic that was deleted")
            }
        }
    }

    /// Says whether the partition may start only if `auto.offset.reset` allows it.
    pub(super) const fn needs_reset(self) -> bool {
        matches!(
            self,
            Self::Nothing(_) | Self::Deleted(1..) | Self::Beyond(..)
        )
    }

    /// Returns the leader epoch with which the client checks whether the log was truncated below the committed offset. Each
    /// check is a request: none is made if the leader has not changed since, nor if the log has no record below the offset.
    pub(super) fn epoch_to_compare(
        self,
        committed: &Committed,
        bounds: Option<LogBounds>,
    ) -> Option<i32> {
        let is_suspect = match (self, bounds) {
            (Self::Beyond(..) | Self::Cut(_), _) | (Self::Committed, None) => true,
            (Self::Committed, Some(bounds)) => {
                bounds.epoch != committed.epoch && committed.offset > Some(bounds.start)
            }
            _ => false,
        };
        committed.epoch.filter(|_| is_suspect)
    }
}
