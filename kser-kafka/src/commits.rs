use std::fmt::Display;
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
/// How long after a commit that was not answered the next is written, whoever waits for it.
const AFTER_SILENCE: Duration = Duration::from_millis(500);
/// How long after one that was refused, as in a rebalance.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// How long commits fail until that is said, and how often it is then.
const SAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Commits from time to time what is done, and at once what is waited for.
#[derive(Debug)]
pub(crate) struct Commits {
    every: Duration,
    next: Instant,
    /// Since the last commit failed: when to say so.
    failing: Option<Instant>,
    /// Those who may run a suspect once a commit names it.
    begun: Vec<(RecordId, oneshot::Sender<Result<(), Error>>)>,
}

impl Commits {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: monotonic(),
            failing: None,
            begun: Vec::new(),
        }
    }

    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// Says whether the last commit was not confirmed.
    pub(crate) const fn are_failing(&self) -> bool {
        self.failing.is_some()
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
        let is_urgent = (waits || !self.begun.is_empty()) && self.failing.is_none();
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
                match durable.iter().all(|durable| *durable) {
                    true => self.failing = None,
                    false => self.failed(context, AFTER_REFUSAL, &"the brokers refuse it"),
                }
                self.confirm(context, news, &durable);
                Some(waits)
            }
            Err(error) => {
                self.failed(context, AFTER_SILENCE, &error);
                None
            }
        }
    }

    /// A commit failed: the next waits for a while.
    fn failed(&mut self, context: &Context, pause: Duration, why: &dyn Display) {
        let now = monotonic();
        self.next = now + pause.max(self.every);
        tracing::debug!(target: "kser_kafka", %why, "a commit is not confirmed");
        let say = self.failing.get_or_insert(now + SAY.0);
        if now >= *say {
            *say = now + SAY.1;
            tracing::warn!(
                target: "kser_kafka",
                group = context.group, %why,
                "what is done cannot be committed, and records wait for it",
            );
        }
    }

    fn confirm(&mut self, context: &Context, news: Vec<Entry>, durable: &[bool]) {
        for (entry, durable) in news.into_iter().zip(durable) {
            if !durable {
                tracing::trace!(target: "kser_kafka", ?entry, "a commit is not what is read back");
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
