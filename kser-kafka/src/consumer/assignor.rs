//! How a group shares its partitions out. The client computes that for the whole group on one of its members, on the thread that
//! also sends heartbeats.

use crate::KafkaConfig;

/// The setting.
pub(crate) const STRATEGY: &str = "partition.assignment.strategy";
/// Moves only the partitions that change their owner. The time that it takes grows with the square of the partitions: a
/// second join takes 18 s at 5,000 of them, 16 of these without a heartbeat.
pub(crate) const COOPERATIVE: &str = "cooperative-sticky";
/// Takes all partitions back and gives them out anew.
pub(crate) const EAGER: &str = "roundrobin";
/// The most partitions of a group that are shared out cooperatively.
const MOST: usize = 2000;

/// Returns how a group of that many partitions shares them out.
pub(crate) const fn of(partitions: usize) -> &'static str {
    match partitions > MOST {
        true => EAGER,
        false => COOPERATIVE,
    }
}

/// Returns the other way of sharing out: all members of a group must have the same.
pub(crate) fn other(strategy: Option<&str>) -> &'static str {
    match strategy {
        Some(EAGER) => COOPERATIVE,
        _ => EAGER,
    }
}

/// Says whether it is the transport that chooses.
pub(crate) fn can_switch(config: &KafkaConfig) -> bool {
    !config.has(STRATEGY) && !config.is_kip_848()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_group_rebalances_eagerly() {
        assert_eq!(of(6), COOPERATIVE);
        assert_eq!(of(2000), COOPERATIVE);
        assert_eq!(of(2001), EAGER);
        assert_eq!(other(Some(EAGER)), COOPERATIVE);
        assert_eq!(other(Some(COOPERATIVE)), EAGER);
    }

    #[test]
    fn a_strategy_that_was_set_stays() {
        let config = KafkaConfig::new("localhost:1");
        assert!(can_switch(&config));
        for (key, value) in [(STRATEGY, "range"), ("group.protocol", "consumer")] {
            assert!(!can_switch(&config.clone().with(key, value).unwrap()));
        }
    }
}
