//! Revocation.

use crate::TransportHarness;
use crate::records::settle;

/// When a delivery goes to someone else while it is held, `Delivery::revoked` says so.
pub async fn says_that_a_held_delivery_goes_to_someone_else(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut gone = harness.member("group", &topic).await;
    harness.publish(&topic, None, &["a"]).await;
    let held = harness.receive_one(&mut *gone).await;
    assert!(!held.revoked.is_cancelled());
    let revoked = held.revoked.clone();
    drop(gone);
    harness.takeover().await;
    let mut member = harness.member("group", &topic).await;
    let delivery = harness.receive_one(&mut *member).await;
    let told = tokio::time::timeout(harness.capabilities().patience, revoked.cancelled()).await;
    assert!(told.is_ok(), "the holder is told");
    let lost = held.ticket.settle(Vec::new()).await.unwrap();
    assert!(lost.is_lost());
    settle(delivery).await;
}
