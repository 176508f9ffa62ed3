use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use kser_core::Topic;

use crate::clock::monotonic;
use crate::health::broker_queries::{Absent, BrokerQueries, Query, QueryAnswer};
use crate::partition_map::PartitionMap;

/// The delay from a hint that a topic may be missing to the query.
const SOON: Duration = Duration::from_secs(1);
/// The age at which the ends of logs are outdated, in addition to the time between two queries.
const OLD: Duration = Duration::from_secs(15);
/// The interval of queries about missing or unknown topics, and about a group.
const AGAIN: Duration = Duration::from_secs(5);

/// The answers of the brokers that the health of one member needs. It sends queries from time to time, and never waits.
#[derive(Debug)]
pub(crate) struct Survey {
    broker_queries: Arc<BrokerQueries>,
    answer: Option<Receiver<QueryAnswer>>,
    topics: Vec<Topic>,
    ask_topics: Option<Instant>,
    ask_ends: Instant,
    ask_group: Instant,
    ends: Option<(Instant, PartitionMap)>,
    keep_ends: Duration,
    n_classic: Option<usize>,
    missing: BTreeSet<Topic>,
    answered_at: Option<Instant>,
}

impl Survey {
    /// Makes a survey that looks for missing ones among these topics.
    pub(crate) fn new(broker_queries: Arc<BrokerQueries>, topics: Vec<Topic>) -> Self {
        let now = monotonic();
        Self {
            broker_queries,
            answer: None,
            ask_topics: (!topics.is_empty()).then_some(now),
            topics,
            ask_ends: now,
            ask_group: now,
            ends: None,
            keep_ends: OLD,
            n_classic: None,
            missing: BTreeSet::new(),
            answered_at: None,
        }
    }

    /// Makes the next query about the topics come soon, since one may be missing.
    pub(crate) fn look_soon(&mut self) {
        if !self.topics.is_empty() {
            self.ask_topics.get_or_insert_with(|| monotonic() + SOON);
        }
    }

    /// Takes the answer to the last query, and sends the next one if it is time. The ends of up to 1,000 partitions are read at
    /// the interval `every`; those of more partitions accordingly less often. `group` is the group whose members with the
    /// classic protocol are counted.
    pub(crate) fn turn(
        &mut self,
        partitions: &[(Topic, i32)],
        every: Duration,
        group: Option<&str>,
    ) {
        let now = monotonic();
        match self.answer.as_ref().map(Receiver::try_recv) {
            Some(Ok(answer)) => {
                self.answer = None;
                self.take(answer, now);
            }
            Some(Err(TryRecvError::Empty)) => return,
            // The thread has ended, and will not answer.
            Some(Err(TryRecvError::Disconnected)) | None => self.answer = None,
        }
        let mut query = Query::default();
        if self.ask_topics.is_some_and(|ask| now >= ask) {
            self.ask_topics = None;
            query.topics = self.topics.clone();
        }
        if !partitions.is_empty() && now >= self.ask_ends {
            let thousands = u32::try_from(partitions.len() / 1000).unwrap_or(u32::MAX);
            let pause = every.saturating_mul(thousands.max(1));
            self.ask_ends = now + pause;
            self.keep_ends = OLD + pause;
            query.ends = partitions.to_vec();
        }
        match group {
            None => self.n_classic = None,
            Some(group) if now >= self.ask_group => {
                self.ask_group = now + AGAIN;
                query.group = Some(group.to_owned());
            }
            Some(_) => {}
        }
        let is_empty = query.topics.is_empty() && query.ends.is_empty();
        if !is_empty || query.group.is_some() {
            self.answer = Some(self.broker_queries.ask(query));
        }
    }

    fn take(&mut self, answer: QueryAnswer, now: Instant) {
        self.answered_at = self.answered_at.max(answer.answered_at);
        if let Some(ends) = answer.ends {
            self.ends = Some((now, ends));
        }
        if answer.n_classic.is_some() {
            self.n_classic = answer.n_classic;
        }
        if let Some(absent) = answer.topics {
            self.take_topics(absent, now);
        }
    }

    /// Updates the missing topics. A topic about which the brokers do not tell keeps its state.
    fn take_topics(&mut self, absent: Absent, now: Instant) {
        let Absent {
            mut missing,
            unknown,
        } = absent;
        missing.extend(self.missing.intersection(&unknown).cloned());
        for topic in missing.difference(&self.missing) {
            tracing::warn!(target: "kser_kafka", %topic, "topic {topic} does not exist; create it with `ensure_topics`, or with `?create=6` in the URL");
        }
        if !missing.is_empty() || !unknown.is_empty() {
            self.ask_topics = Some(now + AGAIN);
        }
        self.missing = missing;
    }

    /// Returns the end of the log of a partition, if it was read recently.
    pub(crate) fn end_of(&self, topic: &str, partition: i32) -> Option<i64> {
        let (at, ends) = self.ends.as_ref()?;
        match at.elapsed() <= self.keep_ends {
            true => ends.get(topic, partition),
            false => None,
        }
    }

    /// Lists the topics that are missing.
    pub(crate) fn missing(&self) -> Vec<Topic> {
        self.missing.iter().cloned().collect()
    }

    pub(crate) const fn n_classic(&self) -> Option<usize> {
        self.n_classic
    }

    /// Returns the time of the last answer of a broker.
    pub(crate) const fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> BTreeSet<Topic> {
        names
            .iter()
            .map(|name| Topic::new(*name).unwrap())
            .collect()
    }

    #[test]
    fn a_topic_is_missing_until_the_brokers_tell_otherwise() {
        let broker_queries = Arc::new(BrokerQueries::without_brokers());
        let now = monotonic();
        let mut survey = Survey::new(broker_queries, topics(&["a", "b"]).into_iter().collect());
        let mut take = |missing: &[&str], unknown: &[&str]| {
            survey.ask_topics = None;
            let absent = Absent {
                missing: topics(missing),
                unknown: topics(unknown),
            };
            survey.take_topics(absent, now);
            let names = survey.missing().into_iter();
            let names: Vec<_> = names.map(|topic| topic.to_string()).collect();
            (names, survey.ask_topics.is_some())
        };
        let a = || vec!["a".to_owned()];
        assert_eq!(take(&["a"], &[]), (a(), true));
        // The brokers refuse to tell: the state of the topics stays.
        assert_eq!(take(&[], &["a", "b"]), (a(), true));
        assert_eq!(take(&[], &["b"]), (Vec::new(), true));
        assert_eq!(take(&[], &[]), (Vec::new(), false));
    }
}
