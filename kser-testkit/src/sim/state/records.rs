use std::sync::Arc;

use kser_core::{Record, Timestamp};

use super::super::Guarantee;
use super::super::broker::Spot;
use super::super::broker::records::{Content, GivenRecord};
use super::super::labels::Decoded;
use super::super::mark::Act;
use super::super::port::Port;
use super::super::trace::Moment;
use super::State;
use crate::invariants;

/// The passage of records through the broker, noted in the trace and the facts.
impl State {
    /// Publishes a record, as an output of the delivery with the ticket `settles`, or by itself.
    pub(in crate::sim) fn publish(
        &mut self,
        port: &Port,
        record: Record,
        decoded: Decoded,
        now: Timestamp,
        settles: Option<u64>,
    ) {
        let label = self.labels.record(&record, &decoded);
        if let Some(serial) = settles {
            let (facts, view) = self.observe();
            invariants::check_output(facts, view, serial, (&record, &decoded, &label));
        }
        // A record with a time is another attempt, or waits for a consumer that knows it.
        let first = settles.is_some() && record.not_before.is_none();
        let wait = record.not_before.map(|due| due.since(now));
        let wait = wait.filter(|wait| !wait.is_zero());
        let shown = wait.map_or_else(String::new, |wait| format!(" for {}", Moment(wait)));
        let mark = Act::Publish.of(Arc::clone(&label));
        self.note(&port.name, mark, format!("publishes {label}{shown}"));
        let consumer = self.lives[port.life].consumer.is_some();
        invariants::count_record(&mut self.facts, consumer, &record, &decoded);
        self.learn(&record, &decoded, &label, first);
        self.broker.publish(record, Content { decoded, label }, now);
    }

    /// Adds the content of a published record to the facts.
    fn learn(&mut self, record: &Record, decoded: &Decoded, label: &str, output: bool) {
        let count = self.broker.next_number();
        if let Decoded::Event(event) = decoded {
            self.facts.run(&event.run).announced.insert(event.status);
            // Where there is a store, the status in the store counts.
            let (facts, view) = self.observe();
            if view.guarantee() != Guarantee::Stored {
                invariants::observe_event(facts, view, event);
            }
            return;
        }
        let letter = record.topic.as_str().ends_with(".dlt");
        if letter {
            let payload = record.payload.clone().unwrap_or_default();
            *self.facts.letters.entry(payload).or_default() += 1;
        }
        let Some(message) = decoded.message() else {
            return;
        };
        if letter {
            let (facts, view) = self.observe();
            invariants::check_dead_letter(facts, view, record, label);
        }
        let watched = self.facts.watched.contains(&message.entrypoint);
        let alone = message.metadata.envelope().is_none();
        let task = self.facts.task(&message.uuid);
        task.lone = watched && alone;
        if alone && !letter {
            task.alone_in = Some(record.topic.clone());
        }
        if task.first == 0 {
            task.first = count;
            task.key = record.key.clone().map(|key| (record.topic.clone(), key));
        }
        task.latest = count;
        task.delayed |= record.not_before.is_some();
        match letter {
            true => {
                task.letters += 1;
                task.is_given_up(record);
            }
            false => task.sent += u32::from(output),
        }
        let (facts, view) = self.observe();
        invariants::observe_message(facts, view, message, label, letter);
    }

    pub(in crate::sim) fn delivered(&mut self, port: &Port, spot: &Spot, given: &GivenRecord) {
        let again = match given.crash_count {
            0 => String::new(),
            1 => "; a consumer died with it before".to_owned(),
            count => format!("; {count} consumers died with it before"),
        };
        let Spot {
            topic,
            partition,
            offset,
            ..
        } = spot;
        let place = format!("{topic}, partition {partition}, offset {offset}");
        let what = format!("receives {} ({place}){again}", given.label);
        let mark = Act::Receive.of(Arc::clone(&given.label));
        self.note(&port.name, mark, what);
        let (facts, view) = self.observe();
        invariants::check_held(facts, view, port.life);
    }

    /// Commits a delivery. Returns `false` when the member no longer owns the delivery.
    pub(in crate::sim) fn commit(&mut self, who: &str, label: &str, serial: u64) -> bool {
        let ours = self.broker.is_ours(serial);
        let record = self.broker.published_of(serial);
        let committed = self.broker.commit(serial);
        let Some(moved) = committed else {
            let mark = Act::Commit { accepted: false }.of(label);
            let what = format!("cannot commit {label}: it is someone else's");
            self.note(who, mark, what);
            return false;
        };
        self.facts.committed(serial);
        let mark = Act::Commit { accepted: true }.of(label);
        self.note(who, mark, format!("commits {label}"));
        if !ours {
            let what = format!("{who} has committed {label}, which is someone else's");
            self.facts.add_violation("Fenced", what);
        }
        if let Some(moved) = moved {
            invariants::check_commit(&mut self.facts, label, moved);
        }
        if let Some(record) = record {
            let (facts, view) = self.observe();
            invariants::check_durable(facts, view, &record);
        }
        true
    }
}
