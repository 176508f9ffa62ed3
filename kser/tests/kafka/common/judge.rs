use std::collections::BTreeSet;
use std::time::Duration;

use super::{Tested, expect};
use kser::backend::{Interest, Room, Transport};
use kser::kafka::KafkaTransport;
use kser::message::Topic;

/// The timeout of expected records.
const LONG: Duration = Duration::from_secs(60);

/// Reads the committed messages of the road's topic, and checks that there are so many, each once.
pub(crate) async fn each_message_is_there_once(servers: &str, prefix: &str, all: usize) -> Tested {
    let transport = KafkaTransport::connect(&format!("kafka://{servers}")).await?;
    let topic = vec![Topic::new(format!("{prefix}road"))?];
    let mut judge = transport
        .subscribe(Interest::group(format!("{prefix}judge"), topic))
        .await?;
    let mut seen = BTreeSet::new();
    loop {
        let quiet = if seen.len() < all {
            LONG
        } else {
            Duration::from_secs(1)
        };
        let Ok(received) = tokio::time::timeout(quiet, judge.receive(Room::records(1000))).await
        else {
            break;
        };
        for delivery in received? {
            let payload = delivery.record.payload.clone().unwrap_or_default();
            let message: serde_json::Value = serde_json::from_slice(&payload)?;
            let uuid = message["uuid"].to_string();
            expect(seen.insert(uuid), || {
                format!("a message comes twice: {message}")
            })?;
            let _ = delivery.ticket.settle(Vec::new()).await;
        }
    }
    expect(seen.len() == all, || {
        format!("{} messages of {all}", seen.len())
    })
}
