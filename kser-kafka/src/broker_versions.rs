//! The versions of the brokers' requests, on which exactly-once delivery depends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kser_core::Error;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use tokio::sync::oneshot;

use crate::KafkaConfig;
use crate::clock::monotonic;
use crate::error::{failed, no_thread};
use crate::reach::reach;

/// The timeout of reading the versions.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest wait for a line of the client's log.
const LINE: Duration = Duration::from_millis(50);

/// The requests of exactly-once delivery with the versions that Kafka 2.5 brought: a producer that takes the place of another
/// (KIP-360), offsets with the metadata of the group, and committed offsets that wait for transactions (KIP-447).
const NEEDED: [(i16, &str, i16); 3] = [
    (22, "InitProducerId", 3),
    (28, "TxnOffsetCommit", 3),
    (9, "OffsetFetch", 7),
];

/// Checks that the broker that the client reaches first is of Kafka 2.5 or later. A client that does not ask for the versions
/// (`api.version.request=false`) cannot tell, and is believed.
///
/// # Errors
///
/// [`Error::Invalid`] for an older broker. [`Error::Backend`] if no broker answers.
pub(crate) async fn check(config: &KafkaConfig) -> Result<(), Error> {
    let (answer, answered) = oneshot::channel();
    let settings = config.producer();
    let thread = thread::Builder::new().name("kser-kafka-ask".to_owned());
    let started = thread.spawn(move || drop(answer.send(read(settings))));
    started.map_err(no_thread)?;
    let canceled = |_| Err(KafkaError::Canceled);
    let offered = answered.await.unwrap_or_else(canceled);
    let what = "reading the versions of the brokers";
    refuse(&offered.map_err(|error| failed(what, None, error))?)
}

/// Reads the greatest version of each request that the first broker offers.
fn read(mut settings: ClientConfig) -> Result<BTreeMap<i16, i16>, KafkaError> {
    // No call of the client tells the versions; its log does.
    settings.set("debug", "feature");
    settings.set_log_level(RDKafkaLogLevel::Debug);
    let client: BaseProducer<Offered> = settings.create_with_context(Offered::default())?;
    reach(client.client(), ANSWER)?;
    let until = monotonic() + LINE;
    // The lines are older than the answer. They are the first in the queue.
    while !client.context().has_all() && monotonic() < until {
        client.poll(LINE);
    }
    Ok(client.context().versions())
}

fn refuse(offered: &BTreeMap<i16, i16>) -> Result<(), Error> {
    let missing = NEEDED.iter().find(|(api, _, needed)| {
        let offered = offered.get(api);
        offered.is_some_and(|offered| offered < needed)
    });
    let Some((api, name, needed)) = missing else {
        return Ok(());
    };
    let offered = offered.get(api).copied().unwrap_or_default();
    Err(Error::Invalid {
        what: "`delivery=exactly-once`".to_owned(),
        reason: format!(
            "it needs brokers of Kafka 2.5 or later, and a broker offers {name} up to version {offered} in place of \
             {needed}; upgrade the brokers, or set `delivery=at-least-once`"
        ),
    })
}

/// Collects the versions that a broker offers from the log of a client.
#[derive(Debug, Default)]
struct Offered(Mutex<BTreeMap<i16, i16>>);

impl Offered {
    fn versions(&self) -> BTreeMap<i16, i16> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn has_all(&self) -> bool {
        let versions = self.versions();
        NEEDED.iter().all(|(api, _, _)| versions.contains_key(api))
    }
}

impl ClientContext for Offered {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "APIVERSION"
            && let Some((api, greatest)) = version(message)
        {
            let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            versions.entry(api).or_insert(greatest);
        }
    }

    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Offered {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Reads the number of a request and its greatest version from a line such as `ApiKey TxnOffsetCommit (28) Versions 0..5`.
fn version(line: &str) -> Option<(i16, i16)> {
    let (_, line) = line.split_once("ApiKey ")?;
    let (_, line) = line.split_once('(')?;
    let (api, line) = line.split_once(") Versions ")?;
    let (_, greatest) = line.split_once("..")?;
    Some((api.parse().ok()?, greatest.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_client_tells_a_version() {
        let line = "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap:   ApiKey TxnOffsetCommit (28) Versions 0..5";
        assert_eq!(version(line), Some((28, 5)));
        for other in [
            "Broker API support:",
            "ApiKey X (1) Versions 0",
            "ApiKey X (x) Versions 0..1",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn brokers_before_2_5_are_refused() {
        let of_2_5 = BTreeMap::from([(22, 3), (28, 3), (9, 7)]);
        assert!(refuse(&of_2_5).is_ok());
        for (api, _, needed) in NEEDED {
            let mut older = of_2_5.clone();
            older.insert(api, needed - 1);
            let text = refuse(&older).unwrap_err().report();
            assert!(text.contains("delivery=at-least-once"), "{text}");
        }
        assert!(refuse(&BTreeMap::new()).is_ok(), "it is unknown");
    }
}
