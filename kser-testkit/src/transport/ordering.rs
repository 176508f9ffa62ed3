//! Ordering.

use kser_core::Room;

use crate::TransportHarness;
use crate::harness::{settle, text, texts};

/// Records of one topic and key are delivered to a group in the order in which they were published.
pub async fn delivers_a_key_in_order(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut member = harness.member("group", &topic).await;
    for number in 0..20 {
        for key in ["k", "l"] {
            let text = format!("{key}{number}");
            harness.publish(&topic, Some(key), &[&text]).await;
        }
    }
    let mut seen = Vec::new();
    for _ in 0..40 {
        let delivery = harness.receive_one(&mut *member).await;
        seen.push(text(&delivery));
        settle(delivery).await;
    }
    for key in ["k", "l"] {
        let of_key: Vec<_> = seen.iter().filter(|text| text.starts_with(key)).collect();
        let expected: Vec<_> = (0..20).map(|number| format!("{key}{number}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>());
    }
}

/// The next record of a key is delivered only after the one before it is settled, or to the same member.
pub async fn holds_back_a_key_until_it_is_settled(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let (owner, other, held) = tokio::select! {
        received = first.receive(Room::records(1)) => (&mut first, &mut second, received),
        received = second.receive(Room::records(1)) => (&mut second, &mut first, received),
    };
    let held = held.unwrap();
    assert_eq!(texts(&held), ["a"]);
    harness.nothing(&mut **other).await;
    for delivery in held {
        settle(delivery).await;
    }
    let next = tokio::select! {
        received = owner.receive(Room::records(1)) => received,
        received = other.receive(Room::records(1)) => received,
    };
    let next = next.unwrap();
    assert_eq!(texts(&next), ["b"]);
    for delivery in next {
        settle(delivery).await;
    }
}
