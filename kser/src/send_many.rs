//! Many tasks in one publish, and an answer for each.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::{Error, Name, NotPublished, Record, TaskId, Topic};

use crate::SendTask;
use crate::connection::Shared;
use crate::producer::{logged, unknown};
use crate::send_task::keeps;

/// A task of which a record is published.
struct Sent {
    /// Its place among the answers.
    place: usize,
    id: TaskId,
    entrypoint: Name,
    topic: Topic,
}

/// Publishes all that can be published, and says of each what became of it, in order.
pub(crate) async fn send_many(
    shared: &Shared,
    sends: impl Iterator<Item = SendTask>,
) -> Vec<Result<TaskId, Error>> {
    let (mut answers, mut sent, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut kept = BTreeMap::new();
    for (place, send) in sends.enumerate() {
        let prepared = prepared(shared, send, &mut kept).await;
        answers.push(prepared.map(|(entrypoint, id, record)| {
            sent.push(Sent {
                place,
                id: id.clone(),
                entrypoint,
                topic: record.topic.clone(),
            });
            records.push(record);
            id
        }));
    }
    let failed = match shared.publish(records).await {
        Ok(()) => BTreeMap::new(),
        Err(NotPublished { failed, .. }) => failed.into_iter().collect(),
    };
    answered(answers, sent, failed)
}

/// Writes the record of a task, unless its topic forgets it before it is due.
async fn prepared(
    shared: &Shared,
    send: SendTask,
    kept: &mut BTreeMap<Topic, Option<Duration>>,
) -> Result<(Name, TaskId, Record), Error> {
    let (entrypoint, delay) = (send.entrypoint.clone(), send.delay);
    let (id, record) = send.prepare()?;
    if let Some(delay) = delay {
        keeps(shared, &record.topic, delay, kept).await?;
    }
    Ok((entrypoint, id, record))
}

/// Puts what failed in its place among the answers.
fn answered(
    mut answers: Vec<Result<TaskId, Error>>,
    sent: Vec<Sent>,
    mut failed: BTreeMap<usize, Error>,
) -> Vec<Result<TaskId, Error>> {
    for (index, sent) in sent.into_iter().enumerate() {
        let published = match failed.remove(&index) {
            Some(error) => Err(unknown(error, &sent.id)),
            None => Ok(()),
        };
        logged(&published, &sent.topic, &sent.entrypoint, &sent.id);
        if let Err(error) = published {
            answers[sent.place] = Err(error);
        }
    }
    answers
}
