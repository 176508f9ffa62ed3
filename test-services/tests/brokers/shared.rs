//! The Kafka that all tests of a process share, and its admin client.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::env::current_exe;
use std::process::Command;
use std::time::Duration;

use crate::common;
use test_services::{Admin, kafka};

fn partitions(admin: &Admin, topic: &str) -> String {
    let offsets = admin.tool("org.apache.kafka.tools.GetOffsetShell", &["--topic", topic]);
    offsets.unwrap()
}

test_services::kafka_tests!(
    #[test]
    fn the_shared_kafka_answers() {
        let first = kafka().split(',').next().unwrap();
        common::ask(first, Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn the_shared_kafka_is_one_for_all() {
        assert_eq!(kafka(), kafka());
    }

    #[test]
    fn a_named_kafka_that_is_not_there_is_an_error_that_says_so() {
        let test = Command::new(current_exe().unwrap())
            .args(["--exact", "shared::the_shared_kafka_answers"])
            .env("KSER_TEST_KAFKA", "127.0.0.1:1")
            .output()
            .unwrap();
        assert!(!test.status.success());
        let said = String::from_utf8(test.stdout).unwrap();
        assert!(
            said.contains("KSER_TEST_KAFKA is 127.0.0.1:1, where no Kafka is ready"),
            "{said}"
        );
    }
);

// The console tools need Java, also for a running Kafka.
test_services::cluster_tests!(
    #[test]
    fn topics_come_grow_and_go() {
        let admin = Admin::new(kafka());
        let topic = format!("topics_come_grow_and_go.{}", std::process::id());
        admin.create_topic_with(&topic, 1, 1, &[("max.message.bytes", "1000")]);
        assert_eq!(partitions(&admin, &topic), format!("{topic}:0:0\n"));
        admin.add_partitions(&topic, 2);
        assert_eq!(
            partitions(&admin, &topic),
            format!("{topic}:0:0\n{topic}:1:0\n")
        );
        admin.delete_topic(&topic);
        let gone = admin.tool(
            "org.apache.kafka.tools.TopicCommand",
            &["--describe", "--topic", &topic],
        );
        assert!(gone.unwrap_err().contains("does not exist"));
    }
);
