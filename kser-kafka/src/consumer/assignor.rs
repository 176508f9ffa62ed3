//! The choice of the assignor of a group. The client of one member computes the assignment of the whole group, on the thread
//! that also sends heartbeats.

use crate::KafkaConfig;

/// The key of the setting.
pub(crate) const STRATEGY: &str = "partition.assignment.strategy";
/// The assignor that stops only the partitions that change their owner. Its time grows with the square of the partitions: with
/// 5,000 of them a second join takes 18 s, 16 of these without a heartbeat.
pub(crate) const COOPERATIVE: &str = "cooperative-sticky";
/// The assignor that revokes all partitions and assigns them again.
pub(crate) const EAGER: &str = "roundrobin";
/// The greatest number of partitions of a group with the cooperative assignor.
const MOST: usize = 2000;

/// Returns the assignor for a group with this many partitions.
pub(crate) const fn of(partitions: usize) -> &'static str {
    match partitions > MOST {
        true => EAGER,
        false => COOPERATIVE,
    }
}

/// Returns the other assignor, since all members of a group must use the same.
pub(crate) fn other(strategy: Option<&str>) -> &'static str {
    match strategy {
        Some(EAGER) => COOPERATIVE,
        _ => EAGER,
    }
}

/// Says whether the transport may choose the assignor.
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
