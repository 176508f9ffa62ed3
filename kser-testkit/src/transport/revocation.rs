//! Revocation.

use crate::TransportHarness;
use crate::records::settle;
use crate::rules::transport_sentences::sentence;

#[doc = sentence!(revokes_a_held_delivery_that_goes_to_another_member)]
pub async fn revokes_a_held_delivery_that_goes_to_another_member(harness: &TransportHarness) {
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
