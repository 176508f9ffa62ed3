//! Redelivery.

use crate::rules::transport_sentences::sentence;
use std::time::Duration;

use kser_core::Topic;

use crate::TransportHarness;
use crate::records::{release, settle, text};

#[doc = sentence!(a_released_delivery_comes_again)]
pub async fn a_released_delivery_comes_again(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    for key in [None, Some("key")] {
        harness.publish(&topic, key, &["a"]).await;
        for _ in 0..3 {
            let delivery = harness.receive_one(&mut *member).await;
            assert_eq!(delivery.crash_count, 0, "a release is a goodbye");
            release(delivery);
        }
        settle(harness.receive_one(&mut *member).await).await;
    }
    harness.nothing(&mut *member).await;
}

#[doc = sentence!(a_delivery_that_is_released_until_a_time_waits)]
pub async fn a_delivery_that_is_released_until_a_time_waits(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    for key in [None, Some("key")] {
        harness.publish(&topic, key, &["a"]).await;
        let delivery = harness.receive_one(&mut *member).await;
        let due = harness.now() + Duration::from_secs(3);
        let _ = delivery.ticket.release(Some(due));
        let delivery = harness.receive_due(&mut *member, due).await;
        let early = due.since(harness.now());
        assert!(early.is_zero(), "it came {early:?} early");
        settle(delivery).await;
    }
}

#[doc = sentence!(a_released_record_comes_before_the_later_ones_of_its_key)]
pub async fn a_released_record_comes_before_the_later_ones_of_its_key(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    harness.publish(&topic, Some("key"), &["b"]).await;
    release(delivery);
    for expected in ["a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(
            (text(&delivery).as_str(), delivery.crash_count),
            (expected, 0)
        );
        settle(delivery).await;
    }
}

#[doc = sentence!(a_released_delivery_keeps_the_number_of_its_failed_attempts)]
pub async fn a_released_delivery_keeps_the_number_of_its_failed_attempts(
    harness: &TransportHarness,
) {
    let topic = harness.topic().await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let mut failed = 0;
    for _ in 0..2 {
        let mut member = harness.member("group", &topic).await;
        for _ in 0..2 {
            let delivery = harness.receive_one(&mut *member).await;
            assert_eq!((text(&delivery).as_str(), delivery.failed), ("a", failed));
            failed += 1;
            let _ = delivery.ticket.release_failed(None, failed);
        }
        harness.close(member).await;
    }
    let mut member = harness.member("group", &topic).await;
    for expected in [("a", failed), ("b", 0)] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!((text(&delivery).as_str(), delivery.failed), expected);
        settle(delivery).await;
    }
}

#[doc = sentence!(held_deliveries_of_a_dropped_member_are_delivered_and_counted)]
pub async fn held_deliveries_of_a_dropped_member_are_delivered_and_counted(
    harness: &TransportHarness,
) {
    let topic = harness.topic().await;
    harness.publish(&topic, Some("key"), &["a"]).await;
    for expected in 0..2 {
        assert_eq!(crash(harness, &topic, false).await, expected);
    }
    let mut member = harness.member("group", &topic).await;
    let delivery = harness.receive_one(&mut *member).await;
    assert_eq!((text(&delivery), delivery.crash_count), ("a".to_owned(), 2));
    settle(delivery).await;
}

#[doc = sentence!(a_suspected_poison_message_is_counted_only_once_it_has_begun)]
pub async fn a_suspected_poison_message_is_counted_only_once_it_has_begun(
    harness: &TransportHarness,
) {
    let topic = harness.topic().await;
    harness.publish(&topic, Some("key"), &["a"]).await;
    let counts = [
        (false, 0),
        (false, 1),
        (false, 2),
        (false, 2),
        (true, 2),
        (false, 3),
    ];
    for (begin, expected) in counts {
        assert_eq!(crash(harness, &topic, begin).await, expected);
    }
}

/// Receives a delivery as a member that crashes while it holds it, and returns the count that the member saw.
async fn crash(harness: &TransportHarness, topic: &Topic, begin: bool) -> u32 {
    let mut member = harness.member("group", topic).await;
    let delivery = harness.receive_one(&mut *member).await;
    let count = delivery.crash_count;
    if begin {
        let begun = delivery.ticket.begin().await;
        begun.expect("what is held can be begun");
    }
    drop(member);
    harness.takeover().await;
    // A late release by the crashed member does not matter.
    release(delivery);
    count
}

#[doc = sentence!(a_dropped_ticket_counts_as_released)]
pub async fn a_dropped_ticket_counts_as_released(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    drop(harness.receive_one(&mut *member).await);
    for expected in ["a", "b"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(
            (text(&delivery).as_str(), delivery.crash_count),
            (expected, 0)
        );
        settle(delivery).await;
    }
}
