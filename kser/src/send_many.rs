//! Many tasks in one publish, and an answer for each.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::{Error, Name, NotPublished, Record, TaskId, Topic};

use crate::publish::{is_logged, log_published, maybe_sent};
use crate::send_task::{SendTask, keeps};
use crate::shared::Shared;

/// The answers for the tasks so far, and the records to publish.
struct Many {
    answers: Vec<Result<TaskId, Error>>,
    /// The tasks of the records, in the same order.
    sent: Vec<Sent>,
    records: Vec<Record>,
    /// The records that wait, by their index.
    delayed: Vec<(usize, Duration)>,
}

/// A task of which a record is published.
struct Sent {
    /// Its place among the answers.
    place: usize,
    entrypoint: Name,
    /// Set only if the send is logged: with a clone of the topic, this thread and the receiver of the record would change the
    /// same reference count.
    topic: Option<Topic>,
}

/// Publishes the tasks that can be published, and returns the result of each, in order.
pub(crate) async fn send_many(
    shared: &Shared,
    sends: impl Iterator<Item = SendTask>,
) -> Vec<Result<TaskId, Error>> {
    let told = is_logged();
    let mut many = Many::with_capacity(sends.size_hint().0);
    for (place, send) in sends.enumerate() {
        many.add(place, send, told);
    }
    if !many.delayed.is_empty() {
        many.refuse_late(shared).await;
    }
    let Many {
        answers,
        sent,
        records,
        ..
    } = many;
    let failed = match shared.publish(records).await {
        Ok(()) if !told => return answers,
        Ok(()) => BTreeMap::new(),
        Err(NotPublished { failed, .. }) => failed.into_iter().collect(),
    };
    answer_each(answers, sent, failed)
}

impl Many {
    fn with_capacity(sends: usize) -> Self {
        Self {
            answers: Vec::with_capacity(sends),
            sent: Vec::with_capacity(sends),
            records: Vec::with_capacity(sends),
            delayed: Vec::new(),
        }
    }

    fn add(&mut self, place: usize, send: SendTask, told: bool) {
        let delay = send.delay;
        let answer = send.prepare().map(|prepared| {
            let topic = told.then(|| prepared.record.topic.clone());
            self.sent.push(Sent {
                place,
                entrypoint: prepared.entrypoint,
                topic,
            });
            self.delayed
                .extend(delay.map(|delay| (self.records.len(), delay)));
            self.records.push(prepared.record);
            prepared.uuid
        });
        self.answers.push(answer);
    }

    /// Takes out the delayed tasks that their topics would delete before they are due.
    async fn refuse_late(&mut self, shared: &Shared) {
        let mut kept = BTreeMap::new();
        // From the end, because removing a record moves the ones behind it.
        while let Some((index, delay)) = self.delayed.pop() {
            let topic = &self.records[index].topic;
            if let Err(forgets) = keeps(shared, topic, delay, &mut kept).await {
                self.records.remove(index);
                let sent = self.sent.remove(index);
                self.answers[sent.place] = Err(forgets);
            }
        }
    }
}

/// Puts the errors into their places among the answers, and logs each result.
fn answer_each(
    mut answers: Vec<Result<TaskId, Error>>,
    sent: Vec<Sent>,
    mut failed: BTreeMap<usize, Error>,
) -> Vec<Result<TaskId, Error>> {
    for (index, sent) in sent.into_iter().enumerate() {
        let answer = &mut answers[sent.place];
        let Ok(id) = answer else { continue };
        let published = match failed.remove(&index) {
            Some(error) => Err(maybe_sent(error, id)),
            None => Ok(()),
        };
        log_published(&published, sent.topic.as_ref(), &sent.entrypoint, id);
        if let Err(error) = published {
            *answer = Err(error);
        }
    }
    answers
}
