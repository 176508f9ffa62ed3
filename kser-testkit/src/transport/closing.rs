//! Closing.

use crate::TransportHarness;
use crate::records::{release, settle, text};
use crate::rules::transport_sentences::sentence;

#[doc = sentence!(a_close_waits_for_what_is_held)]
pub async fn a_close_waits_for_what_is_held(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["a", "b"]).await;
    let mut held = harness.receive(&mut *member, 2).await;
    let closing = tokio::spawn(member.close());
    tokio::time::sleep(harness.capabilities().quiet).await;
    assert!(!closing.is_finished(), "two deliveries are held");
    settle(held.remove(0)).await;
    tokio::time::sleep(harness.capabilities().quiet).await;
    assert!(!closing.is_finished(), "one delivery is held");
    release(held.remove(0));
    let closed = tokio::time::timeout(harness.capabilities().patience, closing).await;
    closed.expect("nothing is held any more").unwrap().unwrap();
}

#[doc = sentence!(after_a_close_the_others_get_the_records)]
pub async fn after_a_close_the_others_get_the_records(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let member = harness.member("group", &topic).await;
    let mut other = harness.member("group", &topic).await;
    harness.close(member).await;
    harness.publish(&topic, Some("k"), &["a", "b"]).await;
    harness.publish(&topic, Some("l"), &["c"]).await;
    // A closed member that wrongly is still in the group gets time to take them.
    tokio::time::sleep(harness.capabilities().quiet).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let delivery = harness.receive_one(&mut *other).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "c"]);
}

#[doc = sentence!(a_close_counts_no_crash)]
pub async fn a_close_counts_no_crash(harness: &TransportHarness) {
    let topic = harness.topic().await;
    harness.publish(&topic, None, &["a"]).await;
    for _ in 0..4 {
        let mut member = harness.member("group", &topic).await;
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(delivery.crash_count, 0, "every member before said goodbye");
        release(delivery);
        harness.close(member).await;
    }
}

#[doc = sentence!(a_member_that_leaves_at_once_counts_no_crash)]
pub async fn a_member_that_leaves_at_once_counts_no_crash(harness: &TransportHarness) {
    let topic = harness.topic().await;
    harness.publish(&topic, None, &["a"]).await;
    for _ in 0..3 {
        let mut member = harness.member("group", &topic).await;
        let delivery = harness.receive_one(&mut *member).await;
        assert_eq!(delivery.crash_count, 0, "every member before said goodbye");
        let Some(leaver) = member.leaver() else {
            release(delivery);
            return harness.close(member).await;
        };
        leaver.leave().await.unwrap();
        let settled = delivery.ticket.settle(Vec::new()).await.unwrap();
        assert!(settled.is_lost(), "it goes to others");
    }
}
