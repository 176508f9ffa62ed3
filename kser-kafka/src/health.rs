use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kser_core::{Clock, Health, HeldPartition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::assignment::Assignment;
use crate::clock::{SystemClock, monotonic};
use crate::context::Context;
use crate::progress::PartitionProgress;

/// How often the health is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often topics that are missing are asked for, and how long that may take.
const ASK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// Looks at what a member knows, from time to time.
#[derive(Debug)]
pub(crate) struct Watch {
    next: Instant,
    heard: Instant,
    ask: Option<Instant>,
    missing: BTreeSet<Topic>,
    /// Why the last commit was not confirmed, if it was not.
    pub(crate) commits_fail: Option<String>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            next: monotonic(),
            heard: monotonic(),
            ask: Some(monotonic()),
            missing: BTreeSet::new(),
            commits_fail: None,
        }
    }

    /// The brokers answered.
    pub(crate) fn heard(&mut self) {
        self.heard = monotonic();
    }

    /// A topic may be missing: it is found out which.
    pub(crate) fn look_soon(&mut self) {
        self.ask.get_or_insert_with(|| monotonic() + LOOK);
    }

    pub(crate) fn is_due(&self) -> bool {
        monotonic() >= self.next
    }

    pub(crate) fn look(
        &mut self,
        consumer: &BaseConsumer<Context>,
        context: &Context,
        topics: &[Topic],
    ) {
        self.next = monotonic() + LOOK;
        if self.ask.is_some_and(|ask| monotonic() >= ask) {
            self.ask_for(consumer, topics);
        }
        let mut health = Health::default();
        let mut lag = Some(0);
        let mut oldest = None;
        for assignment in context.member().assignments() {
            let (topic, partition) = (&assignment.topic, assignment.partition);
            if let Some(reason) = held_because(assignment, self.commits_fail.as_deref()) {
                let held = HeldPartition::new(topic.clone(), partition, reason);
                health.held.push(held);
            }
            if assignment.waits_for.is_some() {
                continue;
            }
            health.assigned.push((topic.clone(), partition));
            let behind = lag_of(assignment, context.end_of(topic.as_str(), partition));
            lag = lag.zip(behind).map(|(lag, behind)| lag + behind);
            oldest = oldest.into_iter().chain(assignment.oldest()).min();
            let suspects = assignment
                .progress
                .as_ref()
                .map_or(0, PartitionProgress::n_suspects);
            health.suspects += suspects;
        }
        health.lag = lag;
        health.oldest_waiting = oldest.map(|oldest| SystemClock.now().since(oldest));
        let heard = context.heard_at().max(Some(self.heard));
        health.last_heard = heard.map(|heard| heard.elapsed());
        health.missing = self.missing.iter().cloned().collect();
        context.link.set_health(health);
    }

    fn ask_for(&mut self, consumer: &BaseConsumer<Context>, topics: &[Topic]) {
        let mut missing = BTreeSet::new();
        for topic in topics {
            let found = consumer.fetch_metadata(Some(topic.as_str()), ASK.1);
            let Ok(found) = found else {
                break;
            };
            self.heard = monotonic();
            if found.topics().iter().any(|found| found.error().is_some()) {
                missing.insert(topic.clone());
            }
        }
        for topic in missing.difference(&self.missing) {
            tracing::warn!(target: "kser_kafka", %topic, "topic {topic} does not exist; make it with `ensure_topics`, or with `?create=6` in the URL");
        }
        self.ask = (!missing.is_empty()).then(|| monotonic() + ASK.0);
        self.missing = missing;
    }
}

/// Counts what waits in a partition whose log ends here.
fn lag_of(assignment: &Assignment, end: Option<i64>) -> Option<u64> {
    let progress = assignment.progress.as_ref();
    let next = progress.and_then(PartitionProgress::first_not_done);
    let next = next.or(assignment.log_start)?;
    Some(u64::try_from(end? - next).unwrap_or(0))
}

/// Says why nothing more is handed out of a partition, if that is so.
fn held_because(assignment: &Assignment, commits_fail: Option<&str>) -> Option<String> {
    let Some(progress) = &assignment.progress else {
        return Some("its committed offset cannot be read yet".to_owned());
    };
    if let Some(why) = commits_fail.filter(|_| assignment.wants_commit()) {
        return Some(format!("records wait for a commit, which fails: {why}"));
    }
    if let Some(reason) = assignment.unsent.reason() {
        return Some(reason);
    }
    // That many wait for their time is what a topic of waits is for.
    if !assignment.paused || assignment.waits_for.is_some() {
        return None;
    }
    let waiting = assignment.n_waiting();
    Some(match (progress.is_full(), progress.first_not_done()) {
        (true, Some(offset)) => {
            format!(
                "no commit can tell what more is done out of order until offset {offset} is done"
            )
        }
        _ if !assignment.has_room() => {
            format!("{waiting} records wait for their time, or behind one of their key")
        }
        _ => "nobody receives what is fetched".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Author, Budget};

    #[test]
    fn the_lag_of_a_group_without_an_offset_is_that_of_the_log() {
        let mut assignment = Assignment::new(1, Topic::new("t").unwrap(), 0, None);
        assert_eq!(lag_of(&assignment, Some(9)), None);
        let taken = PartitionProgress::take_over(None, "", Author::new(), Budget::default());
        assignment.progress = Some(taken);
        assert_eq!(lag_of(&assignment, Some(9)), None);
        assignment.log_start = Some(2);
        assert_eq!(lag_of(&assignment, Some(9)), Some(7));
        assert_eq!(lag_of(&assignment, None), None);
        assignment.progress.as_mut().unwrap().received(5);
        assert_eq!(lag_of(&assignment, Some(9)), Some(4));
    }
}
