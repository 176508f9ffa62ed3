use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{Error, Record, Settle, Settling, Timestamp};

use super::InjectedBug;
use super::labels::Decoded;
use super::port::Port;
use crate::faults::Kind;

/// Finishes one delivery.
#[derive(Debug)]
pub(super) struct SimSettle {
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
                let decoded = Decoded::of(output);
                state.publish(&self.port, output.clone(), decoded, now, Some(serial));
            }
            if !half {
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
}

#[async_trait]
impl Settle for SimSettle {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        let serial = serial(ticket);
        let port = &self.port;
        if self.observed && outputs.is_empty() {
            port.shared.change(|state, _| {
                state.sites.part();
                state.broker.commit(serial)
            });
            return Ok(());
        }
        let settling = port.shared.with(|state| {
            let fits = outputs
                .iter()
                .try_for_each(|output| state.broker.fits(output));
            fits.map(|()| state.broker.setup.settling())
        })?;
        if settling == Settling::Together {
            let both = async {
                // A second try of a settle that worked.
                if port.shared.with(|state| state.facts.is_committed(serial)) {
                    return Ok(());
                }
                self.publish(serial, outputs)?;
                self.commit(serial)
            };
            return port.call(Kind::Settle, self.path("settle"), both).await?;
        }
        if !outputs.is_empty() {
            let publish = async { self.publish(serial, outputs) };
            port.call(Kind::Publish, self.path("publish"), publish)
                .await??;
        }
        let commit = async { self.commit(serial) };
        port.call(Kind::Commit, self.path("commit"), commit).await?
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
            self.port.note(state, format!("gives back {}", self.label));
        });
    }
}

fn serial(ticket: u128) -> u64 {
    u64::try_from(ticket).unwrap_or(u64::MAX)
}
