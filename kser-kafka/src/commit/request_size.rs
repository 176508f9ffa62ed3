use std::sync::atomic::{AtomicUsize, Ordering};

/// The greatest size of the commits in one request, in bytes. Brokers write the commits of a request as one batch, which is
/// limited by `message.max.bytes` (1 MiB by default).
const MOST: usize = 256 << 10;

/// The size of requests that commit offsets. It is halved when a broker refuses a request whole, and grows back by a 64th
/// with each request that is taken, since a refusal can have other reasons.
#[derive(Debug)]
pub(crate) struct RequestSize(AtomicUsize);

impl RequestSize {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(MOST))
    }

    /// Returns the greatest size of a request, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes that a broker refused all commits of a request of this size.
    pub(crate) fn note_refusal(&self, bytes: usize) {
        self.0.store(bytes.min(MOST) / 2, Ordering::Relaxed);
    }

    /// Notes that a broker took a request.
    pub(crate) fn note_success(&self) {
        let bytes = self.bytes();
        self.0
            .store((bytes + bytes / 64 + 1).min(MOST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_shrink_by_half_and_grow_back() {
        let size = RequestSize::new();
        size.note_refusal(100_000);
        assert_eq!(size.bytes(), 50_000);
        for _ in 0..46 {
            size.note_success();
        }
        assert!((90_000..110_000).contains(&size.bytes()));
        for _ in 0..1000 {
            size.note_success();
        }
        assert_eq!(size.bytes(), MOST);
    }
}
