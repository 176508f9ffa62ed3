//! Settings that depend on the number of partitions of a group, since the client repeats the work for each of them.

/// The number of partitions up to which a group counts as small.
const SMALL: usize = 1000;
/// The time for which a broker keeps a fetch request without records, in milliseconds. Each request and answer names all
/// partitions.
const FETCH: (usize, usize) = (50, 500);
/// The interval of the client's statistics, in milliseconds. They have about 1,200 bytes for each partition.
const STATISTICS: (usize, usize) = (1000, 5000);

/// Returns the settings of a consumer whose group has this many partitions.
pub(crate) fn of(partitions: usize) -> [(&'static str, String); 2] {
    let scaled = |(least, most): (usize, usize)| {
        let times = partitions.div_ceil(SMALL).max(1);
        least.saturating_mul(times).min(most).to_string()
    };
    [
        ("fetch.wait.max.ms", scaled(FETCH)),
        ("statistics.interval.ms", scaled(STATISTICS)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_for_each_partition_is_done_less_often_for_many() {
        let check = |partitions, fetch: &str, statistics: &str| {
            let [(_, of_fetch), (_, of_statistics)] = of(partitions);
            assert_eq!((&*of_fetch, &*of_statistics), (fetch, statistics));
        };
        check(0, "50", "1000");
        check(1000, "50", "1000");
        check(2000, "100", "2000");
        check(10_000, "500", "5000");
        check(usize::MAX, "500", "5000");
    }
}
