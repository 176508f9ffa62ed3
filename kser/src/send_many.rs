//! Many tasks in one publish, and an answer for each.

use std::collections::BTreeMap;

use kser_core::{Error, Name, NotPublished, TaskId, Topic};

use crate::SendTask;
use crate::connection::Shared;
use crate::producer::{is_told, logged, unknown};
use crate::send_task::keeps;

/// A task of which a record is published.
struct Sent {
    /// Its place among the answers.
    place: usize,
    entrypoint: Name,
    /// Only if it is told: who receives the record counts its users at the same time.
    topic: Option<Topic>,
}

/// Publishes all that can be published, and says of each what became of it, in order.
pub(crate) async fn send_many(
    shared: &Shared,
    sends: impl Iterator<Item = SendTask>,
) -> Vec<Result<TaskId, Error>> {
    let (mut answers, mut sent, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kept, told) = (BTreeMap::new(), is_told());
    for (place, send) in sends.enumerate() {
        let delay = send.delay;
        let mut prepared = send.prepare();
        if let (Some(delay), Ok(one)) = (delay, &prepared)
            && let Err(forgets) = keeps(shared, &one.record.topic, delay, &mut kept).await
        {
            prepared = Err(forgets);
        }
        answers.push(prepared.map(|one| {
            sent.push(Sent {
                place,
                entrypoint: one.entrypoint,
                topic: told.then(|| one.record.topic.clone()),
            });
            records.push(one.record);
            one.uuid
        }));
    }
    let failed = match shared.publish(records).await {
        Ok(()) if !told => return answers,
        Ok(()) => BTreeMap::new(),
        Err(NotPublished { failed, .. }) => failed.into_iter().collect(),
    };
    answered(answers, sent, failed)
}

/// Puts what failed in its place among the answers, and logs each.
fn answered(
    mut answers: Vec<Result<TaskId, Error>>,
    sent: Vec<Sent>,
    mut failed: BTreeMap<usize, Error>,
) -> Vec<Result<TaskId, Error>> {
    for (index, sent) in sent.into_iter().enumerate() {
        let answer = &mut answers[sent.place];
        let Ok(id) = answer else { continue };
        let published = match failed.remove(&index) {
            Some(error) => Err(unknown(error, id)),
            None => Ok(()),
        };
        logged(&published, sent.topic.as_ref(), &sent.entrypoint, id);
        if let Err(error) = published {
            *answer = Err(error);
        }
    }
    answers
}
