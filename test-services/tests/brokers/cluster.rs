//! Clusters of single tests: kills, stops, restarts and settings.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common;
use test_services::{Admin, Cluster, Release};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(5);

/// Sends ten records to a topic, each acknowledged by all in-sync replicas.
fn send_ten(admin: &Admin, topic: &str) {
    let arguments = [
        "--topic",
        topic,
        "--num-records",
        "10",
        "--record-size",
        "10",
    ];
    let sent = admin.tool(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            &arguments[..],
            &["--throughput", "-1", "--command-property", "acks=all"],
        ]
        .concat(),
    );
    assert!(sent.unwrap().contains("10 records sent"));
}

/// Reads this many records of a topic from its start, in a group.
fn read(admin: &Admin, topic: &str, group: &str, count: usize) {
    let count = count.to_string();
    let read = admin.tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            topic,
            "--group",
            group,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
        ],
    );
    assert_eq!(read.unwrap().lines().count().to_string(), count);
}

fn offsets(admin: &Admin, topic: &str, time: &str) -> String {
    let arguments = ["--topic", topic, "--time", time];
    admin
        .tool("org.apache.kafka.tools.GetOffsetShell", &arguments)
        .unwrap()
}

test_services::cluster_tests!(
    #[test]
    fn records_outlive_the_kill_of_their_broker() {
        let cluster = Cluster::start(1);
        let admin = cluster.admin();
        admin.create_topic("kept", 1, 1);
        send_ten(&admin, "kept");
        cluster.kill(1);
        assert!(common::ask(&cluster.bootstrap(), LONG).is_err());
        cluster.restart(1);
        read(&admin, "kept", "readers", 10);
    }

    #[test]
    fn a_frozen_broker_is_silent_until_it_thaws() {
        let cluster = Cluster::start(1);
        cluster.freeze(1);
        assert!(common::ask(&cluster.bootstrap(), SHORT).is_err());
        cluster.thaw(1);
        common::ask(&cluster.bootstrap(), LONG).unwrap();
        cluster.freeze(1);
        cluster.restart(1);
        common::ask(&cluster.bootstrap(), LONG).unwrap();
    }

    #[test]
    fn three_brokers_lose_one_and_go_on() {
        let cluster = Cluster::start(3);
        let admin = cluster.admin();
        admin.create_topic("three", 3, 3);
        let leaders = || [0, 1, 2].map(|partition| admin.leader("three", partition));
        let before = leaders();
        assert_eq!(admin.move_leaders("three"), Ok(3));
        // The brokers learn of it a moment later.
        let have_moved = (0..500).any(|_| {
            std::thread::sleep(SHORT / 10);
            let mut both = leaders().into_iter().zip(before);
            both.all(|(now, before)| now != before)
        });
        assert!(have_moved, "{before:?} {:?}", leaders());
        cluster.kill(2);
        send_ten(&admin, "three");
        cluster.restart(2);
        cluster.wait_until_in_sync();
        cluster.stop(1);
        cluster.kill(3);
        cluster.restart(3);
        read(&admin, "three", "readers", 10);
    }

    #[test]
    fn three_brokers_come_back_one_by_one_after_all_were_killed() {
        let cluster = Cluster::start(3);
        let admin = cluster.admin();
        admin.create_topic("back", 3, 3);
        send_ten(&admin, "back");
        for id in 1..=3 {
            cluster.kill(id);
        }
        for id in 1..=3 {
            cluster.restart(id);
        }
        cluster.wait_until_in_sync();
        read(&admin, "back", "readers", 10);
    }

    #[test]
    fn a_cluster_has_the_properties_that_it_is_given() {
        let builder = Cluster::builder().with_property("offsets.retention.minutes", "7");
        let cluster = builder.with_full_speed().start();
        let broker = ["--entity-type", "brokers", "--entity-name", "1"];
        let described = cluster.admin().tool(
            "org.apache.kafka.tools.ConfigCommand",
            &[&["--describe", "--all"], &broker[..]].concat(),
        );
        assert!(described.unwrap().contains("offsets.retention.minutes=7 "));
    }

    #[test]
    fn a_cluster_is_of_the_release_that_it_is_given() {
        let former = Cluster::builder().with_release(Release::V4_3_1).start();
        let newest = Cluster::start(1);
        for (cluster, level) in [
            (former, "SupportedMaxVersion: 4.3-"),
            (newest, "SupportedMaxVersion: 4.4-"),
        ] {
            let class = "org.apache.kafka.tools.FeatureCommand";
            let said = cluster.admin().tool(class, &["describe"]).unwrap();
            let line = said.lines().find(|line| line.contains("metadata.version"));
            assert!(line.is_some_and(|line| line.contains(level)), "{said}");
        }
    }

    #[test]
    fn records_and_offsets_go_as_with_time() {
        let cluster = Cluster::start(1);
        let admin = cluster.admin();
        admin.create_topic("old", 1, 1);
        send_ten(&admin, "old");
        admin.delete_records("old", 0, 4);
        assert_eq!(offsets(&admin, "old", "earliest"), "old:0:4\n");
        assert_eq!(offsets(&admin, "old", "latest"), "old:0:10\n");

        read(&admin, "old", "readers", 6);
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let describe = ["--describe", "--group", "readers", "--offsets"];
        assert!(admin.tool(class, &describe).unwrap().contains("old"));
        admin.delete_offsets("readers", "old");
        assert!(!admin.tool(class, &describe).unwrap().contains("old"));
    }
);
