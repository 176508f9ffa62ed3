use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{EndedDelivery, Error, HandIn, Record, Settle, Settling, Timestamp};

use super::InjectedBug;
use super::labels::Decoded;
use super::mark::Act;
use super::outbox::HandedIn;
use super::port::Port;
use crate::faults::Kind;

/// Finishes one delivery.
#[derive(Debug, Clone)]
pub(crate) struct SimSettle {
    port: Port,
    /// The label of the record.
    label: Arc<str>,
    /// The delivery is an observer's: no other member waits for it, so its order makes no difference.
    observed: bool,
}

impl SimSettle {
    pub(super) const fn new(port: Port, label: Arc<str>, observed: bool) -> Self {
        Self {
            port,
            label,
            observed,
        }
    }

    fn path(&self, verb: &str) -> String {
        format!("{}/{verb}", self.label)
    }

    /// Publishes the outputs of a delivery that its member still owns.
    fn publish(&self, serial: u64, outputs: &[Record]) -> Result<(), Error> {
        self.publish_some(serial, outputs, true)
    }

    /// Publishes outputs of a delivery that its member still owns: all that are left, or some.
    fn publish_some(&self, serial: u64, outputs: &[Record], are_all: bool) -> Result<(), Error> {
        self.port.shared.change(|state, now| {
            let late = std::mem::take(&mut state.late);
            let half = std::mem::take(&mut state.half);
            if state.facts.is_published(serial) {
                return Ok(());
            }
            let unfenced = state.broker.setup.broken == Some(InjectedBug::NoFencing);
            if !late && !unfenced && !state.broker.is_ours(serial) {
                return Err(Error::Lost);
            }
            let count = match half {
                true => outputs.len() / 2,
                false => outputs.len(),
            };
            for output in outputs.iter().take(count) {
                let output = state.broker.setup.envelopes.open(output.clone());
                let decoded = Decoded::of(&output);
                state.publish(&self.port, output, decoded, now, Some(serial));
            }
            if !half && are_all {
                state.facts.published(serial);
            }
            Ok(())
        })
    }

    fn commit(&self, serial: u64) -> Result<(), Error> {
        let done = self.port.shared.change(|state, _| {
            if state.facts.is_committed(serial) {
                return true;
            }
            state.commit(&self.port.name, &self.label, serial)
        });
        match done {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }

    /// Publishes and acknowledges in one step.
    pub(super) async fn settle_together(
        &self,
        ticket: u128,
        outputs: &[Record],
    ) -> Result<(), Error> {
        let serial = serial(ticket);
        let both = async {
            // A second try of a settle that worked.
            if (self.port.shared).with(|state| state.facts.is_committed(serial)) {
                return Ok(());
            }
            self.publish(serial, outputs)?;
            self.commit(serial)
        };
        let path = self.path("settle");
        self.port.call(Kind::Settle, path, both).await?
    }

    /// Publishes the outputs that are not too large. Returns the positions of the others.
    pub(super) async fn publish_fitting(
        &self,
        ticket: u128,
        outputs: &[Record],
    ) -> Result<Vec<(usize, Error)>, Error> {
        let (mut fitting, mut refused) = (Vec::new(), Vec::new());
        self.port.shared.with(|state| {
            for (position, output) in outputs.iter().enumerate() {
                match state.broker.fits(output) {
                    Ok(()) => fitting.push(output.clone()),
                    Err(error) => refused.push((position, error)),
                }
            }
        });
        if !fitting.is_empty() {
            let are_all = refused.is_empty();
            let publish = async { self.publish_some(serial(ticket), &fitting, are_all) };
            let path = self.path("publish");
            self.port.call(Kind::Publish, path, publish).await??;
        }
        Ok(refused)
    }

    /// Publishes the outputs, if there are any.
    pub(super) async fn publish_first(
        &self,
        ticket: u128,
        outputs: &[Record],
    ) -> Result<(), Error> {
        if outputs.is_empty() {
            return Ok(());
        }
        let publish = async { self.publish(serial(ticket), outputs) };
        let path = self.path("publish");
        self.port.call(Kind::Publish, path, publish).await?
    }

    /// Acknowledges a delivery whose outputs are published.
    pub(super) async fn acknowledge(&self, ticket: u128) -> Result<(), Error> {
        let commit = async { self.commit(serial(ticket)) };
        let path = self.path("commit");
        self.port.call(Kind::Commit, path, commit).await?
    }
}

#[async_trait]
impl Settle for SimSettle {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        let port = &self.port;
        if self.observed && outputs.is_empty() {
            port.shared.change(|state, _| {
                state.sites.part();
                state.broker.commit(serial(ticket))
            });
            return Ok(());
        }
        let settling = port.shared.with(|state| {
            let fits = outputs
                .iter()
                .try_for_each(|output| state.broker.fits(output));
            fits.map(|()| state.broker.setup.settling(port.life))
        })?;
        if settling == Settling::Together {
            return self.settle_together(ticket, outputs).await;
        }
        self.publish_first(ticket, outputs).await?;
        self.acknowledge(ticket).await
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        let begin = async {
            let shared = &self.port.shared;
            match shared.change(|state, _| state.broker.begin(serial(ticket))) {
                true => Ok(()),
                false => Err(Error::Lost),
            }
        };
        self.port
            .call(Kind::Begin, self.path("begin"), begin)
            .await?
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        // The broker hears nothing of a process that died.
        if !self.port.is_alive() {
            return;
        }
        self.port.shared.change(|state, _| {
            state.sites.part();
            state.broker.release(serial(ticket), not_before, failed);
            let mark = Act::Release.of(Arc::clone(&self.label));
            self.port
                .note(state, mark, format!("gives back {}", self.label));
        });
    }
}

impl HandIn for SimSettle {
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
        let is_refused = || {
            self.port.shared.with(|state| {
                let broker = &state.broker;
                let mut outputs = ended.outputs().iter();
                broker.setup.settling(self.port.life) == Settling::Together
                    && outputs.any(|output| broker.fits(output).is_err())
            })
        };
        if self.observed || is_refused() {
            return Err(ended);
        }
        let settle = self.clone();
        HandedIn { settle, ended }.enter(&self.port);
        Ok(())
    }
}

fn serial(ticket: u128) -> u64 {
    u64::try_from(ticket).unwrap_or(u64::MAX)
}
