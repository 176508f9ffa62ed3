//! Topics that are deleted and recreated under the same name, with other records.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{admin, member, publish, receive, settled, text, topic, transport};
use kser_core::{Room, Subscription, Topic};

/// Longer than the time within which a consumer detects that its topic was recreated.
const LIMIT: Duration = Duration::from_secs(60);

fn texts(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name} {n}")).collect()
}

/// Deletes a topic, recreates it, and publishes records.
async fn make_anew(topic: &Topic, texts: &[String]) {
    admin().delete_topic(topic.as_str());
    admin().create_topic(topic.as_str(), 1, 1);
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    // A new producer, since the sequence numbers of the other one are those of the old topic.
    publish(&transport().await, topic, &texts).await;
}

/// Receives and settles until these records have arrived, possibly among others.
async fn settles_all(member: &mut dyn Subscription, texts: &[String]) {
    let mut missing: BTreeSet<_> = texts.iter().cloned().collect();
    let all = async {
        while !missing.is_empty() {
            for delivery in member.receive(Room::records(1000)).await.unwrap() {
                missing.remove(&text(&delivery.record));
                let _ = delivery.ticket.settle(Vec::new()).await;
            }
        }
    };
    let waited = tokio::time::timeout(LIMIT, all).await;
    assert!(waited.is_ok(), "{} did not come", missing.len());
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn all_records_of_a_topic_run_that_is_made_anew_under_a_consumer() {
        let (transport, topic) = (transport().await, topic(&[]));
        let old = texts("old", 500);
        let old: Vec<_> = old.iter().map(String::as_str).collect();
        publish(&transport, &topic, &old).await;
        let mut member = member(&transport, &topic).await;
        assert_eq!(settled(&mut *member, 500).await.len(), 500);
        let new = texts("new", 600);
        make_anew(&topic, &new).await;
        settles_all(&mut *member, &new).await;
        let told = async {
            while member.health().resets != 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, told).await.unwrap();
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_end_that_is_committed_into_a_topic_made_anew_hides_none_of_its_records() {
        let (transport, topic) = (transport().await, topic(&[]));
        let old = texts("old", 200);
        let old: Vec<_> = old.iter().map(String::as_str).collect();
        publish(&transport, &topic, &old).await;
        let mut first = member(&transport, &topic).await;
        let mut held = receive(&mut *first, 200).await;
        let last = held.pop().unwrap();
        for delivery in held {
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        let new = texts("new", 300);
        make_anew(&topic, &new).await;
        // The topic ends before its member has detected it, and the member leaves.
        let _ = last.ticket.settle(Vec::new()).await.unwrap();
        first.close().await.unwrap();
        let mut second = member(&transport, &topic).await;
        settles_all(&mut *second, &new).await;
        second.close().await.unwrap();
    }
);
