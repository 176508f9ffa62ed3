use std::time::{Duration, Instant};

use kser_core::Error;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::oneshot;

use crate::clock::monotonic;
use crate::commit::{self, Entry};
use crate::context::Context;
use crate::link::RecordId;

/// How long a commit is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// How long after a failed commit the next is written.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Commits from time to time what is done, and at once what is waited for.
#[derive(Debug)]
pub(crate) struct Commits {
    every: Duration,
    next: Instant,
    /// Those who may run a suspect once a commit names it.
    begun: Vec<(RecordId, oneshot::Sender<Result<(), Error>>)>,
}

impl Commits {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: monotonic(),
            begun: Vec::new(),
        }
    }

    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// A suspect waits for a commit that names it.
    pub(crate) fn names(&mut self, id: RecordId, answer: oneshot::Sender<Result<(), Error>>) {
        self.begun.push((id, answer));
    }

    /// Commits when it is time, or something waits for it. Says, if something is confirmed, whether records may go on.
    pub(crate) fn commit_if_due(
        &mut self,
        consumer: &BaseConsumer<Context>,
        context: &Context,
    ) -> Option<bool> {
        let now = monotonic();
        let mut member = context.member();
        let waits = member
            .assignments()
            .any(|assignment| assignment.wants_commit());
        let is_urgent = (waits || !self.begun.is_empty()) && !self.is_failing(now);
        if now < self.next && !is_urgent {
            return None;
        }
        let news = commit::news(&mut member);
        drop(member);
        self.tell(context, |assignment| {
            news.iter().all(|entry| entry.assignment != assignment)
        });
        if news.is_empty() || consumer.assignment_lost() {
            return None;
        }
        let written = commit::write(consumer, &news, ANSWER);
        self.next = monotonic() + self.every;
        match written {
            Ok(durable) => {
                self.confirm(context, news, &durable);
                Some(waits)
            }
            Err(error) => {
                tracing::debug!(target: "kser_kafka", %error, "a commit is not confirmed");
                self.next = monotonic() + AFTER_FAILURE;
                None
            }
        }
    }

    /// After a failed commit the next waits, whoever waits for it.
    fn is_failing(&self, now: Instant) -> bool {
        self.next.saturating_duration_since(now) > self.every
    }

    fn confirm(&mut self, context: &Context, news: Vec<Entry>, durable: &[bool]) {
        for (entry, durable) in news.into_iter().zip(durable) {
            if !durable {
                tracing::debug!(target: "kser_kafka", ?entry, "a commit is not what is read back");
                continue;
            }
            self.tell(context, |assignment| assignment == entry.assignment);
            if let Some(progress) = context.member().progress(entry.assignment) {
                progress.confirmed(&entry.commit);
            }
        }
        let mut member = context.member();
        member.go_on();
        member.flush();
    }

    /// Tells those who wait that a commit names their suspects, or that the partition is gone.
    fn tell(&mut self, context: &Context, is_written: impl Fn(u64) -> bool) {
        for (id, answer) in std::mem::take(&mut self.begun) {
            let noted = match context.link.is_live(id.assignment) {
                false => Err(Error::Lost),
                true if is_written(id.assignment) => Ok(()),
                true => {
                    self.begun.push((id, answer));
                    continue;
                }
            };
            let _ = answer.send(noted);
        }
    }
}
