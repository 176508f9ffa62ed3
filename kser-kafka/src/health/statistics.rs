//! The statistics of a client, as far as the health needs them. The client writes some 1,200 bytes a second for each
//! partition: all else in them is skipped without being kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::partition_map::PartitionMap;

/// One report of a client about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// The time since a broker was heard of last, heartbeats included.
    pub(crate) idle: Option<Duration>,
    /// The offset from which each partition is fetched next: above the last record, a transaction marker included.
    pub(crate) fetched: PartitionMap,
    /// How the client stands with its group; `None` for one without a group.
    pub(crate) group: Option<GroupState>,
}

/// How a client stands with its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct GroupState {
    /// Between the client and the coordinator: `up`, or one of the steps before it.
    pub(crate) state: String,
    /// Between the client and the group: `steady`, or one of the steps before it.
    pub(crate) join_state: String,
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow, default)]
    brokers: HashMap<Cow<'a, str>, Broker>,
    #[serde(borrow, default)]
    topics: HashMap<Cow<'a, str>, OfTopic<'a>>,
    cgrp: Option<GroupState>,
}

#[derive(Deserialize)]
struct Broker {
    /// In microseconds; negative when the broker was never heard of.
    rxidle: i64,
}

#[derive(Deserialize)]
struct OfTopic<'a> {
    #[serde(borrow, default)]
    partitions: HashMap<Cow<'a, str>, OfPartition>,
}

#[derive(Deserialize)]
struct OfPartition {
    partition: i32,
    next_offset: i64,
}

impl Statistics {
    /// Reads what a client has written; `None` when it is no such report.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let report: Report<'_> = serde_json::from_slice(json).ok()?;
        let idle = report.brokers.values();
        let idle = idle.filter_map(|broker| u64::try_from(broker.rxidle).ok());
        let mut fetched = PartitionMap::default();
        for (topic, found) in &report.topics {
            for found in found.partitions.values() {
                // Negative while nothing is fetched, and for the place of records without a partition.
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
