//! The tasks that write, each on a connection of its own: at most three groups are under way.

use std::sync::Arc;
use std::time::Duration;

use kser_core::store::OutputId;
use tokio::time::sleep;

use super::failure::Failure;
use super::inserts::Insert;
use super::link::Link;
use super::queue::{Caller, Job, Queue, Write};
use super::session::Session;
use super::statements::Statements;
use super::swaps::Swap;
use super::waiters::{Waiters, Woken};
use super::writes;

/// The pause before failed writes are repeated.
const PAUSE: Duration = Duration::from_millis(10);

/// A task that takes the writes that wait, and writes them.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) waiters: Arc<Waiters>,
    /// The channel of notifications, and the number of this store, which needs none of its own.
    pub(super) channel: String,
    pub(super) process: i64,
}

/// The failure of a group.
enum Failed {
    /// Each write of the group is answered.
    No,
    /// The group has not been written, or its outcome is unknown.
    All(Vec<Job>, Failure),
}

impl Writer {
    /// Writes until the runtime ends.
    pub(super) async fn run(self) {
        loop {
            let group = self.queue.take().await;
            let runs = Queue::runs(&group);
            let again = match self.write(group).await {
                Failed::No => Vec::new(),
                Failed::All(group, failure) => {
                    // A lost connection is noted meanwhile, and a server in distress is not asked without a pause.
                    sleep(PAUSE).await;
                    repeat(group, &failure)
                }
            };
            self.queue.finish(&runs, again);
        }
    }

    async fn write(&self, group: Vec<Job>) -> Failed {
        let latest = group.iter().map(|job| job.deadline).min();
        let Some(deadline) = latest else {
            return Failed::No;
        };
        let session = match self.link.session(deadline).await {
            Ok(session) => session,
            Err(failure) => return Failed::All(group, failure),
        };
        match group.first().map(|job| &job.write) {
            Some(Write::Swap(..)) => self.swap(&session, group).await,
            Some(Write::Insert(..)) => self.insert(&session, group).await,
            Some(Write::Relay(..)) => self.relay(&session, group).await,
            _ => self.write_alone(&session, group).await,
        }
    }

    async fn swap(&self, session: &Session, group: Vec<Job>) -> Failed {
        let swaps: Vec<&Swap> = group
            .iter()
            .filter_map(|job| match &job.write {
                Write::Swap(swap, _) => Some(&**swap),
                _ => None,
            })
            .collect();
        let notify = (self.channel.as_str(), self.process);
        match Swap::write_all(&swaps, session, &self.statements, notify).await {
            Ok(answers) => {
                for (job, answer) in group.into_iter().zip(answers) {
                    if let Write::Swap(swap, caller) = job.write {
                        match swap.end(&answer) {
                            Some(end) => self.waiters.wake_all(swap.id(), &end),
                            None => self.waiters.wake(swap.id()),
                        }
                        self.waiters.wake_for_due(swap.due(answer.now));
                        answer_to(caller, answer);
                    }
                }
                Failed::No
            }
            Err(failure) => Failed::All(group, failure),
        }
    }

    async fn insert(&self, session: &Session, group: Vec<Job>) -> Failed {
        let runs: Vec<&Insert> = group
            .iter()
            .filter_map(|job| match &job.write {
                Write::Insert(insert, _) => Some(&**insert),
                _ => None,
            })
            .collect();
        match Insert::write_all(&runs, session, &self.statements).await {
            Ok(answers) => {
                for (job, answer) in group.into_iter().zip(answers) {
                    if let Write::Insert(insert, caller) = job.write {
                        self.waiters.wake_for_due(insert.due(answer.now));
                        answer_to(caller, answer);
                    }
                }
                Failed::No
            }
            Err(failure) => Failed::All(group, failure),
        }
    }

    async fn relay(&self, session: &Session, group: Vec<Job>) -> Failed {
        let outputs: Vec<&OutputId> = group
            .iter()
            .filter_map(|job| match &job.write {
                Write::Relay(outputs, _) => Some(outputs),
                _ => None,
            })
            .flatten()
            .collect();
        match writes::relay(outputs, session, &self.statements).await {
            Ok(()) => {
                for job in group {
                    if let Write::Relay(_, caller) = job.write {
                        answer_to(caller, ());
                    }
                }
                Failed::No
            }
            Err(failure) => Failed::All(group, failure),
        }
    }

    /// Writes those that are no group.
    async fn write_alone(&self, session: &Session, group: Vec<Job>) -> Failed {
        for job in group {
            let deadline = job.deadline;
            let alone = job.alone;
            let again = |write| {
                vec![Job {
                    write,
                    deadline,
                    alone,
                }]
            };
            match job.write {
                Write::Purge(id, caller) => {
                    let notify = (self.channel.as_str(), self.process);
                    match writes::purge(&id, session, &self.statements, notify).await {
                        Ok(purged) => {
                            self.waiters.wake_all(&id, &Woken::Changed);
                            answer_to(caller, purged);
                        }
                        Err(failure) => {
                            return Failed::All(again(Write::Purge(id, caller)), failure);
                        }
                    }
                }
                Write::Register(name, caller) => {
                    match writes::register(&name, session, &self.statements).await {
                        Ok(life) => answer_to(caller, life),
                        Err(failure) => {
                            return Failed::All(again(Write::Register(name, caller)), failure);
                        }
                    }
                }
                Write::Swap(..) | Write::Insert(..) | Write::Relay(..) => {}
            }
        }
        Failed::No
    }
}

/// Sends an answer to its caller, whose future may be dropped.
fn answer_to<T>(caller: Caller<T>, answer: T) {
    let _ = caller.send(Ok(answer));
}

/// Returns the writes of a failed group that are to be written again, and tells the callers of the others.
///
/// After the loss of a connection, a write is repeated until its deadline: its stamp tells whether it was written. After another
/// error, each write of the group is written alone, so that the error of one is not that of another.
fn repeat(group: Vec<Job>, failure: &Failure) -> Vec<Job> {
    let now = tokio::time::Instant::now();
    let several = group.len() > 1;
    let mut again = Vec::new();
    for mut job in group {
        let repeats = match failure.is_lost() {
            true => job.is_repeatable() && job.deadline > now,
            false => several || (failure.is_temporary() && job.deadline > now),
        };
        match repeats {
            true => {
                job.alone |= several && !failure.is_lost();
                again.push(job);
            }
            false => job.fail(failure.clone()),
        }
    }
    again
}
