use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{Error, Record};

use crate::consumer::places::Places;

/// The end of a delivery, or its next wait. The code that decides it has no ticket, so that no path can forget one.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// The delivery is acknowledged, with these records.
    Ack(Outputs),
    /// The delivery is kept, and looked at again after this delay: a duration, because the decision may go by the clock of
    /// the store, and the wait goes by the local one.
    RetryIn(Duration),
    /// The delivery is given back to the transport.
    Release,
    /// The delivery is looked at again once nothing else runs in this process.
    RunExclusively,
    /// The delivery is looked at again with a place of its entrypoint. All of these places are taken.
    AwaitPlace(Places),
}

/// The records that are published when a delivery is acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    /// Published in the same settle.
    pub(crate) records: Vec<Record>,
    /// The last of them are those that the store keeps until they are relayed.
    pub(crate) relayed: Vec<OutputId>,
}

/// A record that was decided on, and that its topic does not take.
#[derive(Debug)]
pub(crate) struct RefusedRecord {
    pub(crate) record: Record,
    /// Set if the store keeps it until it is relayed.
    pub(crate) output: Option<OutputId>,
    pub(crate) error: Error,
}

impl Outputs {
    /// Removes the published and the refused records, so that the records to try again are left. Returns which outputs of the
    /// store are published, and the refused records.
    pub(crate) fn part(
        &mut self,
        mut failed: Vec<(usize, Error)>,
    ) -> (Vec<OutputId>, Vec<RefusedRecord>) {
        let first_output = self.records.len().saturating_sub(self.relayed.len());
        failed.sort_by_key(|(index, _)| *index);
        let mut failed = failed.into_iter().peekable();
        let (mut published, mut refused) = (Vec::new(), Vec::new());
        let (records, outputs) = (
            std::mem::take(&mut self.records),
            std::mem::take(&mut self.relayed),
        );
        let mut outputs = outputs.into_iter();
        for (index, record) in records.into_iter().enumerate() {
            let output = match index >= first_output {
                true => outputs.next(),
                false => None,
            };
            match failed.next_if(|(at, _)| *at == index) {
                None => published.extend(output),
                Some((_, error)) if error.is_refused() => refused.push(RefusedRecord {
                    record,
                    output,
                    error,
                }),
                Some(_) => {
                    self.records.push(record);
                    self.relayed.extend(output);
                }
            }
        }
        (published, refused)
    }

    /// Keeps the records at these positions only: those that are not published. Returns which outputs of the store are
    /// published.
    pub(crate) fn keep(&mut self, unpublished: &[(usize, Error)]) -> Vec<OutputId> {
        let first_output = self.records.len().saturating_sub(self.relayed.len());
        let mut outputs = std::mem::take(&mut self.relayed).into_iter();
        let (mut published, mut at) = (Vec::new(), 0);
        self.records.retain(|_| {
            let is_kept = unpublished.iter().any(|(index, _)| *index == at);
            let output = match at >= first_output {
                true => outputs.next(),
                false => None,
            };
            match is_kept {
                true => self.relayed.extend(output),
                false => published.extend(output),
            }
            at += 1;
            is_kept
        });
        published
    }

    /// Takes out the records that are larger than a transport takes.
    pub(crate) fn take_larger(&mut self, largest: usize) -> Vec<RefusedRecord> {
        let first_output = self.records.len().saturating_sub(self.relayed.len());
        let all = std::mem::take(self);
        let mut outputs = all.relayed.into_iter();
        let mut refused = Vec::new();
        for (index, record) in all.records.into_iter().enumerate() {
            let output = match index >= first_output {
                true => outputs.next(),
                false => None,
            };
            let size = record.size();
            if size <= largest {
                self.records.push(record);
                self.relayed.extend(output);
                continue;
            }
            let error = Error::TooLarge {
                what: "bytes of the record".into(),
                size,
                limit: largest,
            };
            refused.push(RefusedRecord {
                record,
                output,
                error,
            });
        }
        refused
    }

    /// Adds records: the last of them stands for `output`, if that is one.
    pub(crate) fn put(&mut self, mut records: Vec<Record>, output: Option<OutputId>) {
        let last = output.and_then(|output| Some((records.pop()?, output)));
        records.append(&mut self.records);
        self.records = records;
        if let Some((record, output)) = last {
            self.records.push(record);
            self.relayed.push(output);
        }
    }
}

impl Disposition {
    /// Acknowledges the delivery, and publishes nothing.
    pub(crate) fn ack() -> Self {
        Self::Ack(Outputs::default())
    }

    /// Acknowledges the delivery, and publishes these records with it.
    pub(crate) fn ack_with(records: Vec<Record>) -> Self {
        Self::Ack(Outputs {
            records,
            relayed: Vec::new(),
        })
    }
}
