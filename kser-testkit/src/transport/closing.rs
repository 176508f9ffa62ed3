//! Closing.

use crate::TransportHarness;
use crate::records::{release, settle, text};

/// `close` waits until what was received is settled or released, and then leaves the group.
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

/// After `close` the records go to the other members.
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

/// A member that closed said goodbye: nothing of its is counted as crashes.
pub async fn a_close_is_a_goodbye(harness: &TransportHarness) {
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

/// A member that leaves at once, where the backend can ([`Subscription::leaver`]), says goodbye too: what it held goes to
/// the other members, and nothing of it is counted.
///
/// [`Subscription::leaver`]: kser_core::Subscription::leaver
pub async fn a_member_that_leaves_at_once_says_goodbye(harness: &TransportHarness) {
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
