use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in nanoseconds: 5 ms to 1 h.
const BOUNDS: [u64; 16] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    900_000_000_000,
    3_600_000_000_000,
];

/// A histogram of durations. An observation is two additions to atomic numbers.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// The observations by their buckets; the last one has no upper bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// The sum of the observations in nanoseconds. It wraps around after 584 years.
    sum: AtomicU64,
}

/// The observations of a histogram at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observations {
    /// The sum, in seconds.
    pub(crate) sum: f64,
    pub(crate) count: u64,
    /// The upper bounds in seconds, and the observations of each bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most handlers end within a bound at the front.
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound);
        let bucket = bucket.unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Returns the number of observations.
    pub(crate) fn count(&self) -> u64 {
        let buckets = self.buckets.iter();
        buckets.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Reads the observations.
    pub(crate) fn read(&self) -> Observations {
        let bounds = BOUNDS
            .iter()
            .map(|nanos| Duration::from_nanos(*nanos).as_secs_f64());
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter();
        let counts = counts.map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = Duration::from_nanos(self.sum.load(Ordering::Relaxed));
        Observations {
            sum: sum.as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for (millis, bucket) in [(0, 0), (5, 0), (6, 1), (1_000, 7), (3_600_000, 15)] {
            let before = histogram.read().buckets[bucket].1;
            histogram.observe(Duration::from_millis(millis));
            assert_eq!(histogram.read().buckets[bucket].1, before + 1, "{millis}");
        }
        histogram.observe(Duration::from_secs(3601));
        let read = histogram.read();
        assert_eq!(read.buckets[16], (f64::INFINITY, 1));
        assert_eq!((read.count, histogram.count()), (6, 6));
        assert!((read.sum - 7202.011).abs() < 1e-6, "{}", read.sum);
    }
}
