use bytes::Bytes;
use kser_core::{Delivery, Record, Topic};

/// A record with a key and a text.
pub(crate) fn record(topic: &Topic, key: Option<&str>, text: &str) -> Record {
    let payload = Bytes::copy_from_slice(text.as_bytes());
    let record = Record::new(topic.clone(), Some(payload));
    match key {
        Some(key) => record.with_key(key.to_owned()),
        None => record,
    }
}

/// The text of a delivery.
pub(crate) fn text(delivery: &Delivery) -> String {
    let payload = delivery.record.payload.as_deref().unwrap_or_default();
    String::from_utf8_lossy(payload).into_owned()
}

/// The texts of deliveries.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

/// Settles a delivery that is still ours, without outputs.
pub(crate) async fn settle(delivery: Delivery) {
    settle_with(delivery, Vec::new()).await;
}

/// Settles a delivery that is still ours.
pub(crate) async fn settle_with(delivery: Delivery, outputs: Vec<Record>) {
    let text = text(&delivery);
    match delivery.ticket.settle(outputs).await {
        Ok(settled) => assert!(
            !settled.is_lost(),
            "{text:?} is held, and its settle says lost"
        ),
        Err(failed) => panic!("the settle of {text:?} failed: {}", failed.source),
    }
}

/// Gives a delivery back.
pub(crate) fn release(delivery: Delivery) {
    let _ = delivery.ticket.release(None);
}
