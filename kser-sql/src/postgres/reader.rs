//! The reads of the states of runs. All that wait at the same moment go out together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::{RunId, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use super::columns::Answer;
use super::failure::Failure;
use super::link::Link;
use super::queue::Caller;
use super::reads::FoundRow;
use super::statements::Statements;
use crate::encoding::time;

/// The reads of a group at most. Outcomes may be large, and those of a group are in memory at once.
const LARGEST_GROUP: usize = 64;
/// The pause before failed reads are repeated.
const PAUSE: Duration = Duration::from_millis(10);

/// A read that waits.
#[derive(Debug)]
struct Read {
    run: RunId,
    /// The time until which the read is tried again after the loss of a connection.
    deadline: Instant,
    caller: Caller<Answer<FoundRow>>,
}

/// The reads that wait, of which the readers take groups.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Mutex<Vec<Read>>,
    added: Notify,
}

impl Reads {
    /// Reads the state of a run.
    pub(super) async fn found(
        &self,
        run: &RunId,
        deadline: Instant,
    ) -> Result<Answer<FoundRow>, Failure> {
        let (caller, answer) = oneshot::channel();
        self.waiting().push(Read {
            run: run.clone(),
            deadline,
            caller,
        });
        self.added.notify_one();
        answer
            .await
            .unwrap_or_else(|_| Err(Failure::permanent("the thread of the store has ended")))
    }

    /// Waits for reads, and takes those that can go out together.
    async fn take(&self) -> Vec<Read> {
        loop {
            let (group, more) = {
                let mut waiting = self.waiting();
                let length = waiting.len().min(LARGEST_GROUP);
                let group: Vec<Read> = waiting.drain(..length).collect();
                (group, !waiting.is_empty())
            };
            if more {
                self.added.notify_one();
            }
            if !group.is_empty() {
                return group;
            }
            self.added.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Read>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that takes the reads that wait, and reads.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) reads: Arc<Reads>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
}

impl Reader {
    /// Reads until the runtime ends.
    pub(super) async fn run(self) {
        loop {
            let mut group = self.reads.take().await;
            // A caller whose future was dropped needs no answer.
            group.retain(|read| !read.caller.is_closed());
            while let Err(failure) = self.answer(&mut group).await {
                let now = Instant::now();
                let is_over = |read: &mut Read| !failure.is_lost() || read.deadline <= now;
                for read in group.extract_if(.., is_over) {
                    let _ = read.caller.send(Err(failure.clone()));
                }
                // The loss is noted in a moment.
                sleep(PAUSE).await;
            }
        }
    }

    /// Answers a group, and empties it.
    async fn answer(&self, group: &mut Vec<Read>) -> Result<(), Failure> {
        let Some(deadline) = group.iter().map(|read| read.deadline).min() else {
            return Ok(());
        };
        let session = self.link.session(deadline).await?;
        let ids: Vec<&[u8]> = group
            .iter()
            .map(|read| read.run.as_str().as_bytes())
            .collect();
        let wanted: Vec<Option<i64>> = group.iter().map(|_| None).collect();
        let rows = session
            .query(&self.statements.found, &[&ids, &wanted])
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: Vec<u8> = row.try_get(0)?;
            let now: Timestamp = time(row.try_get(4)?);
            found.push((id, now, FoundRow::of(row)?));
        }
        drop(rows);
        // The rows come in the order of the ids, but for a plan of the server's own choice.
        found.sort_by(|one, other| one.0.cmp(&other.0));
        for read in group.drain(..) {
            let at = found.binary_search_by(|row| row.0[..].cmp(read.run.as_str().as_bytes()));
            let answer = match at {
                Ok(at) => {
                    let (_, now, value) = found.remove(at);
                    Ok(Answer { now, value })
                }
                Err(_) => Err(Failure::permanent("a read has no answer")),
            };
            let _ = read.caller.send(answer);
        }
        Ok(())
    }
}
