/// The window of records ahead of the received ones that may start.
///
/// All records that a commit allows to start count as crashed deliveries if the member dies. So the window is only as large as
/// needed for records not to wait for a commit.
#[derive(Debug, Clone)]
pub(super) struct Window {
    size: i64,
    /// The end of the window in the last commit: records below it may start once that is confirmed.
    ahead: i64,
    /// The end of the window in the last confirmed commit.
    confirmed: i64,
    /// The offset of the next record at the choice of the size, and whether a commit was confirmed since.
    seen: i64,
    is_proven: bool,
}

impl Window {
    pub(super) const SMALLEST: i64 = 256;
    pub(super) const LARGEST: i64 = 16_384;

    pub(super) const fn new() -> Self {
        Self {
            size: Self::SMALLEST,
            ahead: i64::MIN,
            confirmed: i64::MIN,
            seen: i64::MIN,
            is_proven: false,
        }
    }

    /// Moves the end of the window ahead of `next`, the offset of the next record. Returns `false` if it is there already. The
    /// size doubles if records had to wait for a commit, and halves if less than a quarter of it was used.
    pub(super) fn advance(&mut self, next: i64) -> bool {
        if self.is_proven {
            if next > self.confirmed {
                self.size = (self.size * 2).min(Self::LARGEST);
            } else if next.saturating_sub(self.seen) < self.size / 4 {
                self.size = (self.size / 2).max(Self::SMALLEST);
            }
            self.is_proven = false;
        }
        self.seen = next;
        let before = self.ahead;
        self.ahead = before.max(next.saturating_add(self.size));
        self.ahead > before
    }

    pub(super) const fn ahead(&self) -> i64 {
        self.ahead
    }

    /// Says whether half of the window is used up.
    pub(super) const fn is_short(&self, next: i64) -> bool {
        self.ahead < next.saturating_add(self.size / 2)
    }

    pub(super) fn confirm(&mut self, ahead: i64) {
        self.confirmed = self.confirmed.max(ahead);
        self.is_proven = true;
    }

    pub(super) const fn allows(&self, offset: i64) -> bool {
        offset < self.confirmed
    }

    /// Says whether a record below `next` waits for a commit.
    pub(super) const fn holds_back(&self, next: i64) -> bool {
        next > self.confirmed
    }
}
