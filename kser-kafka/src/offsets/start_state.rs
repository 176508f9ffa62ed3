//! What the brokers tell of a partition that starts: the committed offset of the group, and the bounds of the log.

use crate::commit::Committed;
use crate::offsets::log_bounds::Bounds;

/// What is known about a partition that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartState {
    /// The group has committed an offset of which the log has the record, or will have it.
    Committed,
    /// The group has committed nothing, and the log has so many offsets.
    Nothing(u64),
    /// So many offsets that were not done are deleted: the log begins behind the committed offset.
    Deleted(u64),
    /// The group has committed the first offset, and the log ends at the second, which is smaller.
    Beyond(i64, i64),
    /// The group has committed an offset, and done records from this offset on, where the log ends.
    Cut(i64),
    /// The group has committed this offset for a topic of the same name that is no more.
    Recreated(i64),
}

impl StartState {
    /// Says why a partition whose log begins at `start` has no offset to start at.
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

    /// Whether the member begins there only if `auto.offset.reset` allows it.
    pub(super) const fn needs_reset(self) -> bool {
        matches!(
            self,
            Self::Nothing(_) | Self::Deleted(1..) | Self::Beyond(..)
        )
    }

    /// Returns the leader epoch with which the client compares the log at the committed offset, to find out whether it was cut
    /// below. Each comparison is a request: none is made where no leader came since, nor where the log has nothing below.
    pub(super) fn epoch_to_compare(
        self,
        committed: &Committed,
        bounds: Option<Bounds>,
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
