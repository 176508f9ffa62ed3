use async_trait::async_trait;
use kser_core::{
    Description, Error, Interest, NotPublished, Record, Subscription, Topic, TopicSpec, Transport,
};

use super::labels::Decoded;
use super::port::Port;
use super::state::Shared;
use super::subscription::SimSubscription;
use super::{Idle, Setup};
use crate::faults::Kind;

/// Carries records within a simulated run: a broker with partitions, groups that rebalance, and members that are taken
/// for dead.
///
/// Inside a [`Sim`](crate::Sim) each consumer has its own, and each call waits until the simulation lets it through. A
/// transport that is made with [`new`](Self::new) stands alone, as the conformance suite tests it.
#[derive(Debug, Clone)]
pub struct SimTransport {
    port: Port,
}

impl SimTransport {
    /// Makes a transport that no simulation drives. Its time is tokio's, which should be paused.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let shared = Shared::new(setup, Idle::default(), false);
        let port = Port::open(&shared, "alone", None);
        Self { port }
    }

    pub(crate) const fn with_port(port: Port) -> Self {
        Self { port }
    }

    /// Returns the clock that delays go by.
    #[must_use]
    pub fn clock(&self) -> impl kser_core::Clock + use<> {
        *self.port.shared.clock()
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let port = &self.port;
        let envelopes = port.shared.envelopes();
        let records: Vec<Record> = records
            .into_iter()
            .map(|record| envelopes.open(record))
            .collect();
        let count = records.len();
        let mut first = records.first().map(Decoded::of);
        let path = match (records.first(), &first) {
            (Some(record), Some(decoded)) => {
                let label = port
                    .shared
                    .with(|state| state.labels.record(record, decoded));
                format!("{label}/send")
            }
            _ => "nothing/send".to_owned(),
        };
        let publish = async {
            port.shared.change(|state, now| {
                let mut failed = Vec::new();
                let half = std::mem::take(&mut state.half);
                let count = match half {
                    true => count / 2,
                    false => count,
                };
                for (index, record) in records.into_iter().enumerate().take(count) {
                    let decoded = first.take().unwrap_or_else(|| Decoded::of(&record));
                    match state.broker.fits(&record) {
                        Ok(()) => state.publish(port, record, decoded, now, None),
                        Err(error) => failed.push((index, error)),
                    }
                }
                failed
            })
        };
        match port.call(Kind::Publish, path, publish).await {
            Ok(failed) if failed.is_empty() => Ok(()),
            Ok(failed) => Err(NotPublished::new(failed)),
            Err(_) => Err(NotPublished::new(
                (0..count).map(|index| (index, super::broken())).collect(),
            )),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        interest.must_start_now()?;
        let port = &self.port;
        let kind = match interest.group {
            Some(_) => "subscribe",
            None => "observe",
        };
        let path = format!("{}/{kind}", port.name);
        let join = async { SimSubscription::join(port, interest) };
        Ok(Box::new(port.call(Kind::Subscribe, path, join).await?))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.port.shared.change(|state, _| {
            state.sites.part();
            for spec in topics {
                state.broker.ensure(&spec.topic, spec.partitions, spec.kept);
            }
        });
        Ok(())
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        let described = self.port.shared.with(|state| {
            let setup = &state.broker.setup;
            Description::new(setup.settling(self.port.life), setup.largest_record)
        });
        // A topic exists from its first use on, and events are for observers only.
        Ok(described.forgetting().taking_hand_ins())
    }
}
