//! Delay.

use crate::rules::transport_sentences::sentence;
use std::time::Duration;

use kser_core::{Subscription, Timestamp, Topic};

use crate::TransportHarness;
use crate::records::{record, settle, settle_with, text};

const DELAY: Duration = Duration::from_secs(3);

#[doc = sentence!(delays_a_record_until_its_time)]
pub async fn delays_a_record_until_its_time(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let due = harness.now() + DELAY;
    publish_late(harness, &topic, None, due).await;
    publish_late(harness, &topic, Some("key"), due).await;
    for _ in 0..2 {
        comes_in_time(harness, &mut *member, due).await;
    }
    let past = harness.now();
    publish_late(harness, &topic, Some("key"), past).await;
    comes_in_time(harness, &mut *member, past).await;
}

#[doc = sentence!(delays_an_output_until_its_time)]
///
/// The record is an output of a settle here.
pub async fn delays_an_output_until_its_time(harness: &TransportHarness) {
    let (input, output) = (harness.topic().await, harness.topic().await);
    let mut member = harness.member("group", &input).await;
    let mut next = harness.member("next", &output).await;
    harness.publish(&input, None, &["a"]).await;
    let delivery = harness.receive_one(&mut *member).await;
    let due = harness.now() + DELAY;
    let late = record(&output, Some("key"), "late").with_not_before(Some(due));
    settle_with(delivery, vec![late]).await;
    comes_in_time(harness, &mut *next, due).await;
}

#[doc = sentence!(a_delayed_record_does_not_hold_back_its_key)]
pub async fn a_delayed_record_does_not_hold_back_its_key(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let due = harness.now() + DELAY;
    publish_late(harness, &topic, Some("key"), due).await;
    harness.publish(&topic, Some("key"), &["early"]).await;
    let early = harness.receive_due(&mut *member, due).await;
    assert_eq!(text(&early), "early", "the one without a time comes first");
    settle(early).await;
    let late = harness.receive_due(&mut *member, due).await;
    assert_eq!(text(&late), "late");
    settle(late).await;
}

async fn publish_late(
    harness: &TransportHarness,
    topic: &Topic,
    key: Option<&str>,
    due: Timestamp,
) {
    let late = record(topic, key, "late").with_not_before(Some(due));
    harness.transport().publish(vec![late]).await.unwrap();
}

async fn comes_in_time(harness: &TransportHarness, member: &mut dyn Subscription, due: Timestamp) {
    let delivery = harness.receive_due(member, due).await;
    let now = harness.now();
    assert!(now >= due, "it came {:?} early", due.since(now));
    let (late, allowed) = (now.since(due), harness.capabilities().delay_granularity);
    assert!(
        late <= allowed,
        "it came {late:?} late, and {allowed:?} was declared"
    );
    settle(delivery).await;
}
