//! Functions for the tests on a real broker.
#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser_core::{Delivery, Interest, Record, Room, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use test_services::Admin;

/// The timeout of expected events.
const LONG: Duration = Duration::from_secs(60);

/// Creates a topic with one partition and a unique name.
pub(crate) fn topic(settings: &[(&str, &str)]) -> Topic {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let n = LAST.fetch_add(1, Ordering::Relaxed);
    let name = format!("records.{}.{n}", std::process::id());
    admin().create_topic_with(&name, 1, 1, settings);
    Topic::new(name).unwrap()
}

/// Counts the panics of this process about bytes that are not UTF-8, caught ones included, since programs may abort on a
/// panic.
pub(crate) fn n_utf_8_panics() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static HOOK: OnceLock<()> = OnceLock::new();
    HOOK.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.to_string().contains("Utf8Error") {
                COUNT.fetch_add(1, Ordering::Relaxed);
            }
            before(panic);
        }));
    });
    COUNT.load(Ordering::Relaxed)
}

pub(crate) fn admin() -> Admin {
    Admin::new(test_services::kafka())
}

pub(crate) async fn transport() -> KafkaTransport {
    let config = KafkaConfig::new(test_services::kafka());
    KafkaTransport::with_config(config).await.unwrap()
}

/// Joins the group `<topic>.group`.
pub(crate) async fn member(transport: &KafkaTransport, topic: &Topic) -> Box<dyn Subscription> {
    let interest = Interest::group(format!("{topic}.group"), vec![topic.clone()]);
    transport.subscribe(interest).await.unwrap()
}

pub(crate) async fn publish(transport: &KafkaTransport, topic: &Topic, payloads: &[&str]) {
    let record = |payload: &&str| Record::new(topic.clone(), Some((*payload).to_owned().into()));
    let records = payloads.iter().map(record).collect();
    transport.publish(records).await.unwrap();
}

/// Waits for this many deliveries.
pub(crate) async fn receive(member: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let room = Room::records(count - received.len());
        let more = tokio::time::timeout(LONG, member.receive(room));
        received.extend(more.await.expect("records come").unwrap());
    }
    received
}

/// Waits for this many deliveries, settles them, and returns their payloads.
pub(crate) async fn settled(member: &mut dyn Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for delivery in receive(member, count).await {
        texts.push(text(&delivery.record));
        assert!(!delivery.ticket.settle(Vec::new()).await.unwrap().is_lost());
    }
    texts
}

pub(crate) fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.payload.as_deref().unwrap_or(b"(none)")).into_owned()
}

/// Formats an error with its sources.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(told);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
