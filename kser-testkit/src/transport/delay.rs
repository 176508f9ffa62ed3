//! Delay.

use std::time::Duration;

use crate::TransportHarness;
use crate::harness::{record, settle, text};

const DELAY: Duration = Duration::from_secs(3);

/// A record with a time is not delivered before it, and is delivered after it.
pub async fn delays_a_record_until_its_time(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let due = harness.now() + DELAY;
    for key in [None, Some("key")] {
        let late = record(&topic, key, "late").with_not_before(Some(due));
        harness.transport().publish(vec![late]).await.unwrap();
    }
    for _ in 0..2 {
        let delivery = harness.receive_one(&mut *member).await;
        let now = harness.now();
        assert!(now >= due, "it came {:?} early", due.since(now));
        let late = now.since(due);
        let allowed = harness.capabilities().delay_granularity;
        assert!(
            late <= allowed,
            "it came {late:?} late, and {allowed:?} was declared"
        );
        settle(delivery).await;
    }
}

/// A delayed record does not hold back others of its key.
pub async fn a_delayed_record_does_not_hold_back_its_key(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let due = harness.now() + DELAY;
    let late = record(&topic, Some("key"), "late").with_not_before(Some(due));
    harness.transport().publish(vec![late]).await.unwrap();
    harness.publish(&topic, Some("key"), &["early"]).await;
    for expected in ["early", "late"] {
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(text(&delivery), expected);
        settle(delivery).await;
    }
}
