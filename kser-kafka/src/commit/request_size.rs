use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of commits that one request has at most. Brokers write the commits of a request as one batch, which may have 1 MiB
/// unless `message.max.bytes` is set.
const MOST: usize = 256 << 10;

/// The size of requests that commit offsets. It is halved when a broker refuses a request whole, and grows back by a 64th
/// with each request that is taken, since a refusal can have other reasons.
#[derive(Debug)]
pub(crate) struct RequestSize(AtomicUsize);

impl RequestSize {
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(MOST))
    }

    /// Returns the bytes that a request may have.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes that a broker refused all partitions of a request with this many bytes.
    pub(crate) fn refused(&self, bytes: usize) {
        self.0.store(bytes.min(MOST) / 2, Ordering::Relaxed);
    }

    /// Notes that a broker took a request.
    pub(crate) fn taken(&self) {
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
        size.refused(100_000);
        assert_eq!(size.bytes(), 50_000);
        for _ in 0..46 {
            size.taken();
        }
        assert!((90_000..110_000).contains(&size.bytes()));
        for _ in 0..1000 {
            size.taken();
        }
        assert_eq!(size.bytes(), MOST);
    }
}
