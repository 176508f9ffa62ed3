//! Groups.

use std::collections::BTreeSet;

use kser_core::{Interest, Room};

use crate::TransportHarness;
use crate::harness::{settle, text, texts};

/// Each group gets every record of its topics.
pub async fn each_group_gets_every_record(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut members = Vec::new();
    for group in ["a", "b", "c"] {
        members.push(harness.member(group, &topic).await);
    }
    harness.publish(&topic, None, &["1", "2", "3"]).await;
    for member in &mut members {
        let deliveries = harness.receive(&mut **member, 3).await;
        let seen: BTreeSet<_> = texts(&deliveries).into_iter().collect();
        assert_eq!(seen.len(), 3);
        for delivery in deliveries {
            settle(delivery).await;
        }
    }
}

/// The members of one group share the records.
pub async fn members_of_a_group_share_the_records(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    let all: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    harness
        .publish(
            &topic,
            None,
            &all.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await;
    let mut seen = Vec::new();
    while seen.len() < all.len() {
        let received = tokio::select! {
            received = first.receive(Room::records(3)) => received,
            received = second.receive(Room::records(3)) => received,
        };
        for delivery in received.unwrap() {
            seen.push(text(&delivery));
            settle(delivery).await;
        }
    }
    let once: BTreeSet<_> = seen.iter().collect();
    assert_eq!(
        once.len(),
        all.len(),
        "each record goes to one of them: {seen:?}"
    );
    harness.nothing(&mut *first).await;
    harness.nothing(&mut *second).await;
}

/// Members of one group may subscribe to different topics, and get records of their own topics only.
pub async fn members_get_records_of_their_own_topics(harness: &TransportHarness) {
    let (a, b) = (harness.topic().await, harness.topic().await);
    let mut of_a = harness.member("group", &a).await;
    let mut of_b = harness.member("group", &b).await;
    harness.publish(&a, None, &["a"]).await;
    harness.publish(&b, None, &["b"]).await;
    for (member, expected) in [(&mut of_a, "a"), (&mut of_b, "b")] {
        let delivery = harness.receive_one(&mut **member).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
        harness.nothing(&mut **member).await;
    }
}

/// A subscription without a group gets everything that was published after `subscribe` returned, and settling it changes
/// nothing for others.
pub async fn an_observer_sees_what_comes_after_it(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["before"]).await;
    let interest = Interest::everything(vec![topic.clone()]);
    let mut observer = harness.transport().subscribe(interest).await.unwrap();
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    // Without settling: an observer is not held back.
    let observed = harness.receive(&mut *observer, 2).await;
    assert_eq!(texts(&observed), ["a", "b"]);
    for delivery in observed {
        settle(delivery).await;
    }
    for expected in ["before", "a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
}
