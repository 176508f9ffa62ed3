use std::ops::Range;

use crate::commit::Committed;
use crate::progress::{PartitionProgress, TopicMark};

/// The offsets of a partition that a group has settled, by its latest commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SettledOffsets {
    /// All offsets below it are settled.
    below: Option<i64>,
    /// Settled offsets above it, in order.
    above: Vec<Range<i64>>,
}

impl SettledOffsets {
    /// Reads a commit. A commit of a deleted topic of the same name settles nothing in this one.
    pub(super) fn new(committed: &Committed, topic: Option<TopicMark>) -> Self {
        let Some(offset) = committed.offset else {
            return Self::default();
        };
        let is_of = PartitionProgress::topic_of(offset, &committed.metadata);
        if is_of.is_some() && topic.is_some() && is_of != topic {
            return Self::default();
        }
        Self {
            below: Some(offset),
            above: PartitionProgress::settled_above(offset, &committed.metadata),
        }
    }

    /// Returns the offset below which all are settled, within the log.
    pub(super) fn below(&self, log: &Range<i64>) -> Option<i64> {
        self.below.map(|below| below.min(log.end))
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        let at = self.above.partition_point(|run| run.end <= offset);
        let is_above = self.above.get(at).is_some_and(|run| run.contains(&offset));
        is_above || self.below.is_some_and(|below| offset < below)
    }

    /// Counts the offsets of a log that are not settled.
    pub(super) fn unsettled_in(&self, log: &Range<i64>) -> u64 {
        let start = log.start.max(self.below.unwrap_or(log.start));
        let len = |run: Range<i64>| u64::try_from(run.end - run.start).unwrap_or(0);
        let settled = self.above.iter();
        let settled = settled.map(|run| len(run.start.max(start)..run.end.min(log.end)));
        len(start..log.end).saturating_sub(settled.sum())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::progress::{MetadataBudget, WriterId};

    proptest! {
        #[test]
        fn counts_the_offsets_that_it_does_not_contain(
            below in prop::option::of(0..30_i64),
            lengths in prop::collection::vec((1..4_i64, 1..4_i64), 0..6),
            start in 0..20_i64,
            len in 0..40_i64,
        ) {
            let mut at = below.unwrap_or(0);
            let run = |&(hole, done): &(i64, i64)| {
                let start = at + hole;
                at = start + done;
                start..at
            };
            let above = lengths.iter().map(run).collect();
            let settled = SettledOffsets { below, above };
            let log = start..start + len;
            let naive = log.clone().filter(|offset| !settled.contains(*offset)).count();
            prop_assert_eq!(settled.unsettled_in(&log), naive as u64);
        }
    }

    #[test]
    fn a_commit_for_a_deleted_topic_settles_nothing() {
        let committed = Committed {
            offset: Some(5),
            epoch: None,
            metadata: Vec::new(),
        };
        let settled = SettledOffsets::new(&committed, Some(TopicMark::new(1)));
        assert!(settled.contains(4) && !settled.contains(5));
        assert_eq!(settled.below(&(0..3)), Some(3));
        let (writer, budget) = (WriterId::new(), MetadataBudget::default());
        let mut progress = PartitionProgress::take_over(Some(5), "", writer, budget);
        progress.set_topic(TopicMark::new(2));
        progress.receive(5);
        progress.receive(6);
        progress.mark_done(6);
        let committed = Committed {
            metadata: progress.commit().unwrap().metadata.into_bytes(),
            ..committed
        };
        let of = |topic| SettledOffsets::new(&committed, Some(TopicMark::new(topic)));
        assert_eq!(of(1), SettledOffsets::default());
        let settled = [4, 5, 6, 7].map(|offset| of(2).contains(offset));
        assert_eq!(settled, [true, false, true, false]);
    }
}
