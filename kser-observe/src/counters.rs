use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser::Status;
use kser::message::{Name, Topic};
use kser::observer::{AttemptResult, LetterEnd, LetterReason, Observation, StoreAnswer};

use crate::histogram::Histogram;

/// The label of entrypoints that are not registered, and of topics beyond [`MOST_TOPICS`].
pub(crate) const OTHER: &str = "other";

/// The topics that have a label of their own: a handler may send to topics that messages name.
pub(crate) const MOST_TOPICS: usize = 200;

/// The ends of runs, in the order of [`RunCounts::ended`].
pub(crate) const RUN_ENDS: [Status; 3] = [Status::Success, Status::Failed, Status::Cancelled];

/// The reasons of dead letters, as the observer has them and as their label has them.
const REASONS: [(LetterReason, &str); 2] = [
    (LetterReason::Failed, "failed"),
    (LetterReason::NotRun, "not_run"),
];

/// The ways in which dead letters are settled, as the observer has them and as their label has them.
const LETTER_ENDS: [(LetterEnd, &str); 3] = [
    (LetterEnd::Replayed, "replayed"),
    (LetterEnd::Discarded, "discarded"),
    (LetterEnd::Renewed, "renewed"),
];

/// The calls to the state store, as the observer has them.
const STORE_CALLS: [&str; 14] = [
    "register",
    "insert",
    "read",
    "swap",
    "step",
    "due",
    "outputs_due",
    "relayed",
    "run",
    "attempts",
    "find",
    "list",
    "count",
    "purge",
];

/// The verbs of people, as the observer has them and as their label has them.
pub(crate) const VERBS: [(&str, &str); 6] = [
    ("cancel", "cancel"),
    ("resume", "resume"),
    ("retry step", "retry"),
    ("skip step", "skip"),
    ("report", "report"),
    ("fork", "fork"),
];

/// The counts of a process, which its observers add to and a scrape reads.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The attempts that have begun.
    started: Count,
    entrypoints: Mutex<BTreeMap<Name, Arc<EntrypointCounts>>>,
    other: Arc<EntrypointCounts>,
    dead_letters: [Topics; REASONS.len()],
    letters_settled: [Topics; LETTER_ENDS.len()],
    settle_failures: Topics,
    published: Count,
    publish_failures: Count,
    publish: Histogram,
    settles: Mutex<BTreeMap<String, Arc<Histogram>>>,
    store_calls: [StoreCalls; STORE_CALLS.len()],
}

/// The calls of a kind to the state store.
#[derive(Debug, Default)]
pub(crate) struct StoreCalls {
    pub(crate) done: Histogram,
    pub(crate) failed: Histogram,
    conflicts: Count,
}

impl StoreCalls {
    /// Returns the number of swaps that were refused, since the run had changed.
    pub(crate) fn conflicts(&self) -> u64 {
        self.conflicts.get()
    }
}

/// The counts of an entrypoint: of attempts at it, and of runs of it if it is an operation.
#[derive(Debug, Default)]
pub(crate) struct EntrypointCounts {
    waits: Histogram,
    success: Histogram,
    failure: Histogram,
    retried: Count,
    failed: Count,
    released: Count,
    dropped: Count,
    /// Set for an operation, whose runs are shown before there is one, so that the first is seen as an increase.
    is_operation: AtomicBool,
    launched: Count,
    ended: [Count; RUN_ENDS.len()],
    repaired: [Count; VERBS.len()],
}

/// A number that grows.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count for each topic.
#[derive(Debug, Default)]
struct Topics(Mutex<BTreeMap<String, u64>>);

impl Topics {
    /// Adds a number to the count of a topic. Zero shows the topic, so that its first count is seen as an increase.
    fn add(&self, topic: &str, number: u64) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = topics.get_mut(topic) {
            *count += number;
            return;
        }
        let has_room = topics.len() < MOST_TOPICS;
        let topic = if has_room { topic } else { OTHER };
        *topics.entry(topic.to_owned()).or_default() += number;
    }

    fn read(&self) -> Vec<(String, u64)> {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = topics.iter();
        topics
            .map(|(topic, count)| (topic.clone(), *count))
            .collect()
    }
}

impl Default for Counters {
    fn default() -> Self {
        let other = EntrypointCounts::default();
        other.show_runs();
        Self {
            started: Count::default(),
            entrypoints: Mutex::default(),
            other: Arc::new(other),
            dead_letters: Default::default(),
            letters_settled: Default::default(),
            settle_failures: Topics::default(),
            published: Count::default(),
            publish_failures: Count::default(),
            publish: Histogram::default(),
            settles: Mutex::default(),
            store_calls: Default::default(),
        }
    }
}

impl Counters {
    /// Returns the counts of an entrypoint that is registered in this process.
    pub(crate) fn register(&self, name: &Name) -> Arc<EntrypointCounts> {
        Arc::clone(self.entrypoints().entry(name.clone()).or_default())
    }

    /// Shows the counts of a topic from which a consumer receives.
    pub(crate) fn register_topic(&self, topic: &Topic) {
        for of_reason in &self.dead_letters {
            of_reason.add(topic.as_str(), 0);
        }
        self.settle_failures.add(topic.as_str(), 0);
    }

    /// Returns the counts of an entrypoint; those of all others for one that is not registered.
    pub(crate) fn entrypoint(&self, name: &Name) -> Arc<EntrypointCounts> {
        let known = self.entrypoints().get(name).cloned();
        known.unwrap_or_else(|| Arc::clone(&self.other))
    }

    /// Returns the counts of the entrypoints that are not registered.
    pub(crate) const fn other(&self) -> &Arc<EntrypointCounts> {
        &self.other
    }

    /// Counts the start of an attempt.
    pub(crate) fn count_start(&self) {
        self.started.add(1);
    }

    /// Counts an event that is none of an attempt.
    pub(crate) fn count(&self, observation: &Observation<'_>) {
        match observation {
            Observation::RunLaunched { operation, .. } => {
                self.entrypoint(operation).launched.add(1);
            }
            Observation::RunEnded {
                operation, status, ..
            } => {
                let counts = self.entrypoint(operation);
                let ended = RUN_ENDS.iter().position(|end| end == status);
                if let Some(count) = ended.and_then(|end| counts.ended.get(end)) {
                    count.add(1);
                }
            }
            Observation::RunRepaired {
                operation, verb, ..
            } => {
                let counts = self.entrypoint(operation);
                let verb = VERBS.iter().position(|(known, _)| known == verb);
                if let Some(count) = verb.and_then(|verb| counts.repaired.get(verb)) {
                    count.add(1);
                }
            }
            Observation::DeadLettered { topic, reason, .. } => {
                let reason = REASONS.iter().position(|(known, _)| known == reason);
                if let Some(count) = reason.and_then(|reason| self.dead_letters.get(reason)) {
                    count.add(topic, 1);
                }
            }
            Observation::LetterSettled { topic, end, .. } => {
                let end = LETTER_ENDS.iter().position(|(known, _)| known == end);
                if let Some(count) = end.and_then(|end| self.letters_settled.get(end)) {
                    count.add(topic, 1);
                }
            }
            Observation::Settled {
                topic, duration, ..
            } => self.settle(topic).observe(*duration),
            Observation::StoreCalled {
                call,
                answer,
                duration,
                ..
            } => self.count_store_call(call, *answer, *duration),
            Observation::SettleFailed { topic, .. } => self.settle_failures.add(topic.as_str(), 1),
            Observation::Published {
                published,
                failed,
                duration,
                ..
            } => {
                self.published.add(*published as u64);
                self.publish_failures.add(*failed as u64);
                self.publish.observe(*duration);
            }
            _ => {}
        }
    }

    pub(crate) fn started(&self) -> u64 {
        self.started.get()
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.get()
    }

    pub(crate) fn publish_failures(&self) -> u64 {
        self.publish_failures.get()
    }

    pub(crate) const fn publish(&self) -> &Histogram {
        &self.publish
    }

    /// Lists the dead letters by their topic and reason.
    pub(crate) fn dead_letters(&self) -> Vec<(&'static str, String, u64)> {
        let reasons = REASONS.iter().zip(&self.dead_letters);
        let read = reasons.flat_map(|((_, reason), counts)| {
            let counts = counts.read().into_iter();
            counts.map(|(topic, count)| (*reason, topic, count))
        });
        read.collect()
    }

    /// Lists the dead letters that this process has settled, by their topic and the way.
    pub(crate) fn letters_settled(&self) -> Vec<(&'static str, String, u64)> {
        let ends = LETTER_ENDS.iter().zip(&self.letters_settled);
        let read = ends.flat_map(|((_, end), counts)| {
            let counts = counts.read().into_iter();
            counts.map(|(topic, count)| (*end, topic, count))
        });
        read.collect()
    }

    /// Lists the times of settles by their topic.
    pub(crate) fn settles(&self) -> Vec<(String, Arc<Histogram>)> {
        let settles = self.settles.lock().unwrap_or_else(PoisonError::into_inner);
        let settles = settles.iter();
        settles
            .map(|(topic, times)| (topic.clone(), Arc::clone(times)))
            .collect()
    }

    /// Lists the calls to the state store by their kind.
    pub(crate) fn store_calls(&self) -> impl Iterator<Item = (&'static str, &StoreCalls)> {
        STORE_CALLS.into_iter().zip(&self.store_calls)
    }

    fn settle(&self, topic: &Topic) -> Arc<Histogram> {
        let mut settles = self.settles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = settles.get(topic.as_str()) {
            return Arc::clone(times);
        }
        let has_room = settles.len() < MOST_TOPICS;
        let topic = if has_room { topic.as_str() } else { OTHER };
        Arc::clone(settles.entry(topic.to_owned()).or_default())
    }

    fn count_store_call(&self, call: &str, answer: StoreAnswer, duration: Duration) {
        let kind = STORE_CALLS.iter().position(|known| *known == call);
        let Some(calls) = kind.and_then(|kind| self.store_calls.get(kind)) else {
            return;
        };
        match answer {
            StoreAnswer::Failed => return calls.failed.observe(duration),
            StoreAnswer::Conflict => calls.conflicts.add(1),
            _ => {}
        }
        calls.done.observe(duration);
    }

    pub(crate) fn settle_failures(&self) -> Vec<(String, u64)> {
        self.settle_failures.read()
    }

    /// Lists the registered entrypoints with their counts, and last those of all others.
    pub(crate) fn by_entrypoint(&self) -> Vec<(String, Arc<EntrypointCounts>)> {
        let entrypoints = self.entrypoints();
        let registered = entrypoints.iter();
        let registered = registered.map(|(name, counts)| (name.to_string(), Arc::clone(counts)));
        let other = (OTHER.to_owned(), Arc::clone(&self.other));
        registered.chain([other]).collect()
    }

    fn entrypoints(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<EntrypointCounts>>> {
        let entrypoints = self.entrypoints.lock();
        entrypoints.unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntrypointCounts {
    /// Counts the wait of an attempt.
    pub(crate) fn count_wait(&self, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.waits.observe(waited);
        }
    }

    /// Returns the waits of the attempts.
    pub(crate) const fn waits(&self) -> &Histogram {
        &self.waits
    }

    /// Counts the end of an attempt.
    pub(crate) fn count_end(&self, result: AttemptResult, duration: Duration) {
        match result {
            AttemptResult::Success => self.success.observe(duration),
            AttemptResult::Retried => {
                self.retried.add(1);
                self.failure.observe(duration);
            }
            AttemptResult::Failed => {
                self.failed.add(1);
                self.failure.observe(duration);
            }
            AttemptResult::Released => self.released.add(1),
            AttemptResult::Dropped => self.dropped.add(1),
            _ => {}
        }
    }

    /// Returns the durations of the attempts that succeeded, and of those that failed.
    pub(crate) const fn durations(&self) -> [(&'static str, &Histogram); 2] {
        [("success", &self.success), ("failure", &self.failure)]
    }

    /// Returns the numbers of attempts by their ends.
    pub(crate) fn attempts(&self) -> [(&'static str, u64); 5] {
        [
            ("success", self.success.count()),
            ("retried", self.retried.get()),
            ("failed", self.failed.get()),
            ("released", self.released.get()),
            ("dropped", self.dropped.get()),
        ]
    }

    /// Returns the numbers of attempts as the Python library counts them.
    pub(crate) fn results(&self) -> [(&'static str, u64); 2] {
        let failed = self.retried.get() + self.failed.get();
        [("SUCCESS", self.success.count()), ("FAILED", failed)]
    }

    /// Shows the counts of runs.
    pub(crate) fn show_runs(&self) {
        self.is_operation.store(true, Ordering::Relaxed);
    }

    /// Says whether the counts of runs are shown. Those of a task are not, unless a run has its name.
    pub(crate) fn shows_runs(&self) -> bool {
        let has_ended = self.ended.iter().any(|count| count.get() > 0);
        self.is_operation.load(Ordering::Relaxed) || self.launched() > 0 || has_ended
    }

    pub(crate) fn launched(&self) -> u64 {
        self.launched.get()
    }

    /// Returns the numbers of ends of runs by their status.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ended = RUN_ENDS.iter().zip(&self.ended);
        ended.map(|(status, count)| (status.as_str(), count.get()))
    }

    /// Returns the numbers of repairs by their verb.
    pub(crate) fn repaired(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let repaired = VERBS.iter().zip(&self.repaired);
        repaired.map(|((_, verb), count)| (*verb, count.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_of_topics_are_bounded() {
        let topics = Topics::default();
        for number in 0..MOST_TOPICS + 50 {
            topics.add(&format!("t{number}"), 1);
        }
        topics.add("t0", 1);
        let read = topics.read();
        assert_eq!(read.len(), MOST_TOPICS + 1);
        let of = |topic: &str| read.iter().find(|(name, _)| name == topic).map(|(_, n)| *n);
        assert_eq!((of("t0"), of(OTHER)), (Some(2), Some(50)));
    }
}
