//! The statistics of a client, as far as the health needs them. The client writes about 1,200 bytes for each partition: all
//! other fields are skipped without a copy.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::partition_map::PartitionMap;

/// A statistics report of a client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// The time since the last response of a broker, heartbeats included.
    pub(crate) idle: Option<Duration>,
    /// The fetch offset of each partition: above the last fetched record, transaction markers included.
    pub(crate) fetched: PartitionMap,
    /// The state of the client in its group; `None` for a client without a group.
    pub(crate) group: Option<GroupState>,
}

/// The state of a client in its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct GroupState {
    /// The connection to the coordinator: `up`, or one of the states before it.
    pub(crate) state: String,
    /// The membership: `steady`, or one of the states before it.
    pub(crate) join_state: String,
}

#[derive(Deserialize)]
struct StatisticsReport<'a> {
    #[serde(borrow, default)]
    brokers: HashMap<Cow<'a, str>, BrokerStatistics>,
    #[serde(borrow, default)]
    topics: HashMap<Cow<'a, str>, TopicStatistics<'a>>,
    cgrp: Option<GroupState>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    /// The time since the last response, in microseconds; negative without any response.
    rxidle: i64,
}

#[derive(Deserialize)]
struct TopicStatistics<'a> {
    #[serde(borrow, default)]
    partitions: HashMap<Cow<'a, str>, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    next_offset: i64,
}

impl Statistics {
    /// Parses a report; `None` if the text is no report.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let report: StatisticsReport<'_> = serde_json::from_slice(json).ok()?;
        let idle = report.brokers.values();
        let idle = idle.filter_map(|broker| u64::try_from(broker.rxidle).ok());
        let mut fetched = PartitionMap::default();
        for (topic, found) in &report.topics {
            for found in found.partitions.values() {
                // The numbers are negative while nothing is fetched, and for the entry of records without a partition.
                if found.partition >= 0 && found.next_offset >= 0 {
                    fetched.insert(topic, found.partition, found.next_offset);
                }
            }
        }
        Some(Self {
            idle: idle.min().map(Duration::from_micros),
            fetched,
            group: report.cgrp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_tell_the_group_and_where_partitions_are_fetched() {
        let read = Statistics::read(
            br#"{ "name": "kser#consumer-1", "ts":5, "brokers":{
                "a:1/1": { "name":"a:1/1", "rxidle":7000, "toppars":{ "t-0": { "topic":"t", "partition":0 } } },
                "b:1/2": { "name":"b:1/2", "rxidle":-1, "toppars":{ } } },
              "topics":{ "t": { "topic":"t", "batchsize": { "min":0 }, "partitions":{
                "0": { "partition":0, "next_offset":12, "ls_offset":13 },
                "1": { "partition":1, "next_offset":-1001, "ls_offset":-1001 },
                "-1": { "partition":-1, "next_offset":0, "ls_offset":-1001 } } } },
              "cgrp": { "state": "up", "stateage": 3, "join_state": "steady", "assignment_size": 2 }, "tx":4 }"#,
        );
        let mut fetched = PartitionMap::default();
        fetched.insert("t", 0, 12);
        let expected = Statistics {
            idle: Some(Duration::from_millis(7)),
            fetched,
            group: Some(GroupState {
                state: "up".to_owned(),
                join_state: "steady".to_owned(),
            }),
        };
        assert_eq!(read, Some(expected));
        assert_eq!(Statistics::read(b"{}"), Some(Statistics::default()));
        assert_eq!(Statistics::read(b"no report"), None);
    }
}
