//! Partitions that an eager rebalance revokes from all members, and then assigns to most of them again.

use std::collections::BTreeMap;

use kser_core::Cancellation;

use super::Member;
use crate::channel::RecordId;
use crate::progress::Commit;

/// A partition between its revocation and the next assignment, with records that run for longer than the grace period.
#[derive(Debug)]
pub(super) struct RevokedPartition {
    id: u64,
    revoked: Cancellation,
    /// The offsets of the records that run, and whether they are done.
    resumed: BTreeMap<i64, bool>,
    final_commit: FinalCommit,
}

/// The final commit of a revoked partition. As long as it is the committed offset of the group, no other member has started a
/// record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FinalCommit {
    pub(crate) offset: i64,
    pub(crate) text: String,
}

impl Member {
    /// Removes a partition that may come back with the next assignment. Tickets of records that run stay valid until then.
    ///
    /// A partition with a suspected poison message in progress is removed for good: its next owner counts that delivery.
    pub(crate) fn revoke_for_return(&mut self, topic: &str, partition: i32, final_commit: &Commit) {
        let Some(number) = self.topics.get(topic).map(|topic| topic.number) else {
            return;
        };
        let assignment = self.assignment_of(topic, partition);
        let resumed = assignment.filter(|assignment| !assignment.has_delivered_suspect());
        let revoked = resumed.map(|assignment| RevokedPartition {
            id: assignment.id,
            revoked: assignment.revoked.clone(),
            resumed: assignment.delivered_records(),
            final_commit: FinalCommit {
                offset: final_commit.offset,
                text: final_commit.metadata.clone(),
            },
        });
        match revoked.filter(|revoked| !revoked.resumed.is_empty()) {
            None => self.remove_partition(topic, partition),
            Some(revoked) => {
                self.remove(number, partition);
                self.revoked.insert((number, partition), revoked);
            }
        }
    }

    /// Takes the records that run of a partition that comes back.
    pub(super) fn take_revoked(
        &mut self,
        number: usize,
        partition: i32,
    ) -> Option<RevokedPartition> {
        self.revoked.remove(&(number, partition))
    }

    /// Makes a partition that came back a new assignment: its records that run since before the rebalance are lost.
    pub(crate) fn restart_assignment(&mut self, topic: &str, partition: i32) {
        let assignment = self.assignment_of(topic, partition);
        if assignment.is_some_and(|assignment| assignment.final_commit.is_some()) {
            self.remove_partition(topic, partition);
            let _ = self.add_partition(topic, partition);
        }
    }

    /// Invalidates the tickets of the partitions that did not come back.
    pub(crate) fn end_revoked(&mut self) {
        for revoked in std::mem::take(&mut self.revoked).into_values() {
            self.channel.end(revoked.id);
            revoked.revoked.cancel();
        }
    }

    /// Marks a record of a revoked partition as done.
    pub(super) fn mark_revoked_done(&mut self, id: RecordId) {
        if let Some(revoked) = self.revoked_mut(id.assignment)
            && let Some(is_done) = revoked.resumed.get_mut(&id.offset)
        {
            *is_done = true;
        }
    }

    /// Forgets a released record of a revoked partition. If the partition comes back, the record is delivered again.
    pub(super) fn release_revoked(&mut self, id: RecordId) {
        if let Some(revoked) = self.revoked_mut(id.assignment) {
            revoked.resumed.remove(&id.offset);
        }
    }

    fn revoked_mut(&mut self, id: u64) -> Option<&mut RevokedPartition> {
        self.revoked.values_mut().find(|revoked| revoked.id == id)
    }
}

impl RevokedPartition {
    pub(super) fn into_parts(self) -> (u64, Cancellation, BTreeMap<i64, bool>, FinalCommit) {
        (self.id, self.revoked, self.resumed, self.final_commit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kser_core::{Error, HandIn, Room};

    use super::*;
    use crate::member::tests::{Nobody, arrive, id_of, member, received};
    use crate::progress::{MetadataBudget, PartitionProgress, WriterId};

    #[tokio::test]
    async fn what_runs_when_an_eager_rebalance_takes_a_partition_back_goes_on_if_it_returns() {
        let mut member = member();
        for offset in 0..4 {
            arrive(&mut member, 0, offset, None);
        }
        member.flush();
        let of = |offset, id: RecordId| RecordId { offset, ..id };
        let id = id_of(&mut member, 0, 0);
        let settle: Arc<dyn HandIn> = Arc::new(Nobody);
        let held = member
            .channel
            .receive(Room::records(100), &settle)
            .await
            .unwrap();
        member.channel.mark_done(of(0, id)).unwrap();
        let channel = Arc::clone(&member.channel);
        member.handle_settled(&channel);
        let final_commit = member
            .assignment_of("t", 0)
            .unwrap()
            .progress
            .as_mut()
            .unwrap()
            .final_commit()
            .unwrap();
        member.revoke_for_return("t", 0, &final_commit);
        // Between two assignments a record ends, and another is released.
        member.channel.mark_done(of(1, id)).unwrap();
        member.channel.release(of(2, id), None, 0);
        member.handle_settled(&channel);
        let assignment = member.add_partition("t", 0).unwrap();
        assert_eq!(
            (assignment.id, assignment.n_delivered()),
            (id.assignment, 1)
        );
        let committed = crate::commit::Committed {
            offset: Some(final_commit.offset),
            epoch: None,
            metadata: final_commit.metadata.clone().into_bytes(),
        };
        assert!(assignment.may_resume(&committed));
        let writer = WriterId::new();
        let mut progress = PartitionProgress::take_over(
            Some(final_commit.offset),
            &final_commit.metadata,
            writer,
            MetadataBudget::default(),
        );
        let commit = progress.commit().unwrap();
        progress.confirm(&commit);
        assignment.begin(progress);
        for offset in 1..6 {
            arrive(&mut member, 0, offset, None);
        }
        member.flush();
        // Neither the record that runs nor the record that has ended is delivered again.
        assert_eq!(received(&member).await, [(0, 2), (0, 4), (0, 5)]);
        assert_eq!(member.assignment_of("t", 0).unwrap().n_delivered(), 4);
        member.channel.mark_done(of(3, id)).unwrap();
        for offset in [2, 4, 5] {
            member.channel.mark_done(of(offset, id)).unwrap();
        }
        member.handle_settled(&channel);
        let progress = member
            .assignment_of("t", 0)
            .unwrap()
            .progress
            .as_mut()
            .unwrap();
        assert_eq!(progress.commit().unwrap().offset, 6);
        drop(held);
    }

    #[tokio::test]
    async fn what_runs_in_a_partition_that_does_not_return_is_lost() {
        let mut member = member();
        let settle: Arc<dyn HandIn> = Arc::new(Nobody);
        let mut held = Vec::new();
        for partition in [0, 1] {
            arrive(&mut member, partition, 0, None);
            member.flush();
            held.extend(
                member
                    .channel
                    .receive(Room::records(100), &settle)
                    .await
                    .unwrap(),
            );
            let progress = member
                .assignment_of("t", partition)
                .unwrap()
                .progress
                .as_mut();
            let final_commit = progress.unwrap().final_commit().unwrap();
            member.revoke_for_return("t", partition, &final_commit);
        }
        let ids = held.iter().map(|held| RecordId {
            assignment: u64::try_from(held.origin.partition).unwrap() + 1,
            offset: 0,
        });
        let ids: Vec<_> = ids.collect();
        assert!(
            member.channel.is_live(ids[0].assignment) && member.channel.is_live(ids[1].assignment)
        );
        // Partition 0 goes to another member. Partition 1 was with another member in between.
        member.add_partition("t", 1).unwrap();
        member.end_revoked();
        assert!(matches!(member.channel.mark_done(ids[0]), Err(Error::Lost)));
        assert!(held[0].revoked.is_cancelled());
        let committed = crate::commit::Committed {
            offset: Some(0),
            epoch: None,
            metadata: b"of another".to_vec(),
        };
        let assignment = member.assignment_of("t", 1).unwrap();
        assert!(!assignment.may_resume(&committed));
        member.restart_assignment("t", 1);
        assert!(matches!(member.channel.mark_done(ids[1]), Err(Error::Lost)));
        assert_eq!(member.assignment_of("t", 1).unwrap().n_delivered(), 0);
    }
}
