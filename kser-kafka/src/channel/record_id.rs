/// The identity of a received record: its offset, and the number of the assignment that received it. A partition that comes back
/// to the member is another assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordId {
    pub(crate) assignment: u64,
    pub(crate) offset: i64,
}

impl RecordId {
    pub(crate) fn ticket(self) -> u128 {
        (u128::from(self.assignment) << 64) | u128::from(self.offset.cast_unsigned())
    }

    pub(crate) fn of_ticket(ticket: u128) -> Self {
        let offset = u64::try_from(ticket & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            assignment: u64::try_from(ticket >> 64).unwrap_or_default(),
            offset: offset.cast_signed(),
        }
    }
}
