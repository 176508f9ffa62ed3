//! Records that run since before a rebalance, in a partition that came back to its member.

use std::collections::BTreeMap;

use super::record_state::RecordState;
use super::{Assignment, Next};
use crate::commit::Committed;

impl Assignment {
    /// Lists the records in progress, and whether they are done. They may continue if the partition comes back.
    pub(crate) fn delivered_records(&self) -> BTreeMap<i64, bool> {
        let held = self.held.iter();
        let given = held.filter(|(_, held)| held.state == RecordState::Delivered);
        let mut resumed = self.resumed.clone();
        resumed.extend(given.map(|(offset, _)| (offset, false)));
        resumed
    }

    /// Says whether the committed offset is the final commit of this member, so that no other member had the partition since.
    pub(crate) fn may_resume(&self, committed: &Committed) -> bool {
        self.final_commit.as_ref().is_some_and(|final_commit| {
            committed.offset == Some(final_commit.offset)
                && committed.metadata == final_commit.text.as_bytes()
        })
    }

    /// Says whether a suspected poison message is in progress.
    pub(crate) fn has_delivered_suspect(&self) -> bool {
        let mut held = self.held.values();
        held.any(|held| held.state == RecordState::Delivered && held.crash_count >= Some(2))
    }

    /// Recognizes a record that arrived again and runs since before the rebalance. `None` if it is no such record.
    pub(super) fn resume_record(&mut self, offset: i64) -> Option<Next> {
        let is_done = self.resumed.remove(&offset)?;
        match self.held.get_mut(offset) {
            Some(held) if !is_done => {
                held.set_state(RecordState::Delivered, &mut self.waiting_bytes)
            }
            _ => self.mark_done(offset),
        }
        Some(Next::Nothing)
    }
}
