use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use kser_core::IdSource;

/// The largest whole number that every reader of JSON keeps, less one.
const LARGEST: u64 = (1 << 53) - 1;

/// Makes the stamps of writes, which tell each write from all others, also from those of other processes.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    /// A random number, made from an id at the first use.
    base: OnceLock<u64>,
    given: AtomicU64,
}

impl Stamps {
    /// Returns the next one: from 1 to 2^53 - 1, so that a message carries it through any program.
    pub(crate) fn next(&self, ids: &dyn IdSource) -> u64 {
        let hash = BuildHasherDefault::<DefaultHasher>::default();
        let base = *self.base.get_or_init(|| hash.hash_one(ids.next_id()));
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        base.wrapping_add(number) % LARGEST + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::RandomIds;

    #[test]
    fn stamps_differ_within_a_process_and_between_processes() {
        let (one, other) = (Stamps::default(), Stamps::default());
        let mut all: Vec<u64> = (0..1000)
            .flat_map(|_| [one.next(&RandomIds), other.next(&RandomIds)])
            .collect();
        assert!(all.iter().all(|stamp| (1..=LARGEST).contains(stamp)));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
    }
}
