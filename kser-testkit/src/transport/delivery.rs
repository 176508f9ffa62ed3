//! Delivery.

use bytes::Bytes;
use kser_core::Record;

use crate::TransportHarness;
use crate::harness::{settle, texts};

/// A record that was published is delivered to one member of each group, until it is settled.
pub async fn delivers_to_one_member_of_each_group(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut one = harness.member("one", &topic).await;
    let mut other = harness.member("other", &topic).await;
    harness.publish(&topic, None, &["a"]).await;
    for member in [&mut one, &mut other] {
        let delivery = harness.receive_one(&mut **member).await;
        assert_eq!(texts(std::slice::from_ref(&delivery)), ["a"]);
        settle(delivery).await;
    }
    harness.nothing(&mut *one).await;
}

/// It is delivered with the topic, key, headers and payload that it was published with.
pub async fn delivers_what_was_published(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let mut record = Record::new(topic, Some(Bytes::from_static(b"\x00\xffbytes")));
    record = record.with_key("key").with_header("twice", "1");
    record = record
        .with_header("other", "\u{eb}")
        .with_header("twice", "2");
    let records = vec![record.clone()];
    harness.transport().publish(records).await.unwrap();
    let delivery = harness.receive_one(&mut *member).await;
    assert_eq!(delivery.record, record);
    settle(delivery).await;
}

/// An absent key, payload or header value stays absent.
pub async fn keeps_absent_apart_from_empty(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let mut absent = Record::new(topic.clone(), None);
    absent.headers = vec![("none".into(), None), ("empty".into(), Some(Bytes::new()))];
    let empty = Record::new(topic, Some(Bytes::new())).with_key("");
    for record in [absent, empty] {
        let records = vec![record.clone()];
        harness.transport().publish(records).await.unwrap();
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(delivery.record, record);
        settle(delivery).await;
    }
}

/// A record that was published before any group had joined its topic is delivered to the first that does.
pub async fn delivers_what_was_published_before_the_first_group_joined(harness: &TransportHarness) {
    let topic = harness.topic().await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let mut member = harness.member("group", &topic).await;
    for expected in ["a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(texts(std::slice::from_ref(&delivery)), [expected]);
        settle(delivery).await;
    }
}

/// A delivery is not given to a second member while the first may still settle it.
pub async fn gives_a_delivery_to_one_member_at_a_time(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["a"]).await;
    let held = harness.receive_one(&mut *first).await;
    let mut second = harness.member("group", &topic).await;
    let wait = tokio::time::timeout(
        harness.capabilities().quiet,
        second.receive(kser_core::Room::records(1)),
    );
    if wait.await.is_ok() {
        assert!(
            held.revoked.is_cancelled(),
            "it may be given away only if that is said"
        );
    }
    let _ = held.ticket.settle(Vec::new()).await;
}
