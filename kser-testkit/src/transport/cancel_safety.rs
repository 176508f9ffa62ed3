//! Cancel safety.

use crate::rules::transport_sentences::sentence;
use std::task::Poll;

use kser_core::Room;

use crate::TransportHarness;
use crate::records::{settle, text};

#[doc = sentence!(dropping_a_receive_loses_nothing)]
pub async fn dropping_a_receive_loses_nothing(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    let mut seen = Vec::new();
    for number in 0..20 {
        // Begun, polled a few times while a record comes, and dropped.
        for polls in 1..4 {
            let mut receiving = Box::pin(member.receive(Room::records(1)));
            let mut polled = Poll::Pending;
            for _ in 0..polls {
                polled = std::future::poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if let Poll::Ready(received) = polled {
                drop(receiving);
                for delivery in received.unwrap() {
                    seen.push(text(&delivery));
                    settle(delivery).await;
                }
            }
        }
        harness
            .publish(&topic, Some("key"), &[&number.to_string()])
            .await;
    }
    while seen.len() < 20 {
        let delivery = harness.receive_one(&mut *member).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
}
