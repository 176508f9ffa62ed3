use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kser::RunEvent;
use kser_core::sequencing::Progress;
use kser_core::{Outcome, Record, RunId, Status, TaskId, Timestamp};

use super::broker::Spot;
use super::broker::records::Given;
use super::state::State;
use super::trace::Moment;

/// What was seen of a run by those who carry, keep and run, for the invariants.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    published: BTreeSet<u64>,
    committed: BTreeSet<u64>,
    pub(crate) effects: Vec<Applied>,
    pub(crate) runs: BTreeMap<RunId, RunFacts>,
}

/// What was seen of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunFacts {
    /// Its launch has had an effect: it is to end.
    pub(crate) launched: bool,
    pub(crate) status: Option<Status>,
    pub(crate) outcome: Outcome,
    /// When it ended, and how, each time it was said.
    pub(crate) ends: Vec<(Duration, Status, u64)>,
}

/// Something that was done to the world outside.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) service: Arc<str>,
    pub(crate) what: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) task: TaskId,
    /// What the task is called.
    pub(crate) label: Arc<str>,
    pub(crate) by: Arc<str>,
    pub(crate) at: Duration,
    /// The service knew the key, and did nothing.
    pub(crate) repeated: bool,
}

impl Facts {
    pub(super) fn published(&mut self, serial: u64) {
        self.published.insert(serial);
    }

    pub(super) fn is_published(&self, serial: u64) -> bool {
        self.published.contains(&serial)
    }

    pub(super) fn is_committed(&self, serial: u64) -> bool {
        self.committed.contains(&serial)
    }

    pub(crate) fn run(&mut self, id: &RunId) -> &mut RunFacts {
        self.runs.entry(id.clone()).or_default()
    }
}

/// What is done, and noted.
impl State {
    /// Publishes a record.
    pub(super) fn publish(&mut self, who: &str, record: Record, now: Timestamp) {
        let label = self.labels.record(&record);
        let wait = record.not_before.map(|due| due.since(now));
        let wait = wait.filter(|wait| !wait.is_zero());
        let wait = wait.map_or_else(String::new, |wait| format!(" for {}", Moment(wait)));
        self.note(who, format!("publishes {label}{wait}"));
        self.saw(&record);
        self.broker.publish(record, now);
    }

    /// Learns what a published record tells of its run.
    fn saw(&mut self, record: &Record) {
        let payload = record.payload.as_deref().unwrap_or_default();
        if let Ok(event) = RunEvent::decode(payload) {
            let stored = self.facts.run(&event.run).launched && self.is_stored();
            if !stored {
                let outcome = event.outcome.unwrap_or_default();
                self.stands(&event.run, event.status, outcome, event.version);
            }
            return;
        }
        let message = kser_core::Message::decode(payload).ok();
        let envelope = message
            .as_ref()
            .and_then(|message| message.metadata.envelope());
        if let Some(envelope) = envelope {
            self.facts.run(&envelope.run).launched = true;
        }
    }

    fn is_stored(&self) -> bool {
        self.broker.setup.row == super::Row::Stored
    }

    /// Learns what the store was told of a run.
    pub(super) fn wrote(&mut self, run: &RunId, progress: &Progress) {
        self.facts.run(run).launched = true;
        let outcome = progress.last_outcome().clone();
        self.stands(run, progress.status(), outcome, progress.version());
    }

    fn stands(&mut self, run: &RunId, status: Status, outcome: Outcome, version: u64) {
        let now = self.now;
        let facts = self.facts.run(run);
        if status.is_terminal() {
            facts.ends.push((now, status, version));
            facts.outcome = outcome;
        }
        facts.status = Some(status);
    }

    pub(super) fn delivered(&mut self, who: &str, label: &str, spot: &Spot, given: &Given) {
        let again = match given.unreported {
            0 => String::new(),
            count => format!(", which {count} before did not report"),
        };
        let place = format!("{}:{}:{}", spot.topic, spot.partition, spot.offset);
        self.note(who, format!("receives {label} ({place}){again}"));
    }

    pub(super) fn committed(&mut self, who: &str, label: &str, serial: u64, done: bool) {
        match done {
            true => {
                self.facts.committed.insert(serial);
                self.note(who, format!("commits {label}"));
            }
            false => self.note(who, format!("cannot commit {label}: it is someone else's")),
        }
    }
}
