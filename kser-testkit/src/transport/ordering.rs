//! Ordering.

use crate::records::{settle, text, texts};
use crate::rules::transport_sentences::sentence;
use crate::{TransportHarness, Which};

const KEYS: [&str; 3] = ["k", "l", "m"];

#[doc = sentence!(delivers_a_key_in_order)]
pub async fn delivers_a_key_in_order(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    for number in 0..10 {
        for key in KEYS {
            let [one, two] = [2 * number, 2 * number + 1].map(|number| format!("{key}{number}"));
            harness.publish(&topic, Some(key), &[&one, &two]).await;
        }
    }
    let mut seen = Vec::new();
    while seen.len() < 20 * KEYS.len() {
        let (_, received) = harness.receive_either(&mut *first, &mut *second, 7).await;
        seen.extend(texts(&received));
        // In reverse, because deliveries may end in another order than they came.
        for delivery in received.into_iter().rev() {
            settle(delivery).await;
        }
        std::mem::swap(&mut first, &mut second);
    }
    for key in KEYS {
        let of_key: Vec<_> = seen.iter().filter(|text| text.starts_with(key)).collect();
        let expected: Vec<_> = (0..20).map(|number| format!("{key}{number}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>(), "of key {key}");
    }
}

#[doc = sentence!(holds_back_a_key_until_it_is_settled)]
pub async fn holds_back_a_key_until_it_is_settled(harness: &TransportHarness) {
    let topic = harness.topic().await;
    let mut first = harness.member("group", &topic).await;
    let mut second = harness.member("group", &topic).await;
    harness.publish(&topic, Some("key"), &["a", "b"]).await;
    let (which, held) = harness.receive_either(&mut *first, &mut *second, 1).await;
    assert_eq!(texts(&held), ["a"]);
    let other = match which {
        Which::First => &mut second,
        Which::Second => &mut first,
    };
    harness.nothing(&mut **other).await;
    for delivery in held {
        settle(delivery).await;
    }
    let (_, mut next) = harness.receive_either(&mut *first, &mut *second, 1).await;
    let next = next.remove(0);
    assert_eq!(text(&next), "b");
    settle(next).await;
}
