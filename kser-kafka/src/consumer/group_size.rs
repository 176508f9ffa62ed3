//! Settings that depend on how many partitions a member may have: what the client does for each of them again and again.

/// The number of partitions for which the settings of small groups are made.
const SMALL: usize = 1000;
/// How long a broker keeps a request for records if there are none. Each names all partitions, and so does its answer.
const FETCH: (usize, usize) = (50, 500);
/// How often the client writes its statistics, some 1,200 bytes for each partition.
const STATISTICS: (usize, usize) = (1000, 5000);

/// Returns the settings of a consumer whose group has so many partitions.
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
