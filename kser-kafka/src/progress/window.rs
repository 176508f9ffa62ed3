/// How far ahead of what was received records may begin.
///
/// What a commit allows is counted when its writer dies, so that it should be no more than is needed for no record to
/// wait for a commit.
#[derive(Debug, Clone)]
pub(super) struct Window {
    size: i64,
    /// The mark in the commit that was written last: records below it may begin once that is confirmed.
    ahead: i64,
    /// The mark that is durable.
    confirmed: i64,
    /// What was received when the size was chosen, and whether a commit was confirmed since.
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

    /// Moves the mark ahead of `next`, the end of what was received. `false` when it is there. The size doubles when
    /// records had to wait for a commit to be confirmed, and halves when less than a quarter was used.
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

    /// Whether half of what was allowed last is used up.
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

    /// Whether a record below `next` waits.
    pub(super) const fn holds_back(&self, next: i64) -> bool {
        next > self.confirmed
    }
}
