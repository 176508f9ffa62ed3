use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kser_core::{Health, Topic};
use tokio::time::Instant;

/// The time that a backend has to report the wait of its records. A consumer sweeps without a report after it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the oldest record of each topic of a consumer has waited, as of its last look.
///
/// A run whose record was published later may be waiting for its turn, too: a sweep leaves it alone.
#[derive(Debug)]
pub(crate) struct Queues {
    since: Instant,
    /// `None` while the wait is unknown, and for a topic of which no partition is assigned to this consumer: the members with
    /// its partitions know the wait, and sweep.
    topics: Mutex<BTreeMap<Topic, Option<Duration>>>,
}

impl Queues {
    pub(crate) fn new(topics: impl IntoIterator<Item = Topic>) -> Self {
        Self {
            since: Instant::now(),
            topics: Mutex::new(topics.into_iter().map(|topic| (topic, None)).collect()),
        }
    }

    /// Notes the health of the members of the consumer's groups, and the waits of the records that the consumer itself holds.
    pub(crate) fn look(&self, members: &[Health], held: &BTreeMap<Topic, Duration>) {
        let patient = self.since.elapsed() < PATIENCE;
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, waited) in topics.iter_mut() {
            let theirs = of_topic(topic, members, patient);
            *waited = theirs.map(|theirs| held.get(topic).copied().max(theirs).unwrap_or_default());
        }
    }

    /// Lists the topics to sweep, and how long the oldest record of each has waited.
    pub(crate) fn read(&self) -> Vec<(Topic, Duration)> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let known = topics.iter();
        known
            .filter_map(|(topic, waited)| Some((topic.clone(), (*waited)?)))
            .collect()
    }
}

/// Returns how long the oldest record of a topic has waited for a member, `None` in it if none waits, and `None` if it is not
/// to be swept now.
fn of_topic(topic: &Topic, members: &[Health], patient: bool) -> Option<Option<Duration>> {
    let has = |health: &&Health| health.assigned.iter().any(|(of, _)| of == topic);
    let theirs: Vec<&Health> = members.iter().filter(has).collect();
    if theirs.is_empty() {
        // A backend that never tells anything is swept after a while.
        let silent = members.iter().all(tells_nothing);
        return (silent && !patient).then_some(None);
    }
    let tells = |health: &&Health| health.oldest_waiting.is_some() || health.lag == Some(0);
    let known = theirs.iter().all(tells);
    (known || !patient).then(|| {
        theirs
            .iter()
            .filter_map(|health| health.oldest_waiting)
            .max()
    })
}

/// Says whether a backend tells nothing of a member, but perhaps its group.
fn tells_nothing(health: &Health) -> bool {
    let mut nothing = Health::default();
    nothing.group.clone_from(&health.group);
    *health == nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn health(assigned: &[&str], lag: u64, waited: Option<u64>) -> Health {
        let mut health = Health::default();
        health.assigned = assigned.iter().map(|name| (topic(name), 0)).collect();
        health.lag = Some(lag);
        health.oldest_waiting = waited.map(Duration::from_secs);
        health
    }

    /// Checks the topics that are swept at once, and after a minute.
    async fn check(
        members: &[Health],
        held: &[(&str, u64)],
        first: &[(&str, u64)],
        then: &[(&str, u64)],
    ) {
        let named = |list: &[(&str, u64)]| -> Vec<(Topic, Duration)> {
            let list = list.iter();
            list.map(|(name, secs)| (topic(name), Duration::from_secs(*secs)))
                .collect()
        };
        let queues = Queues::new([topic("a"), topic("b")]);
        let held = named(held).into_iter().collect();
        assert_eq!(queues.read(), []);
        queues.look(members, &held);
        assert_eq!(queues.read(), named(first));
        tokio::time::advance(PATIENCE).await;
        queues.look(members, &held);
        assert_eq!(queues.read(), named(then));
    }

    #[tokio::test(start_paused = true)]
    async fn each_topic_has_waited_as_long_as_its_oldest_record() {
        let members = [health(&["a"], 9, Some(100)), health(&["b"], 0, None)];
        let known = [("a", 100), ("b", 0)];
        check(&members, &[], &known, &known).await;
        let held = [("a", 130), ("b", 5)];
        check(&members, &held, &held, &held).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_of_which_no_partition_is_assigned_is_left_to_other_members() {
        let only = [health(&["a"], 0, None)];
        check(&only, &[("b", 9)], &[("a", 0)], &[("a", 0)]).await;
        check(&[health(&[], 0, None)], &[], &[], &[]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_does_not_tell_is_given_time() {
        let all = [("a", 0), ("b", 0)];
        check(&[Health::default()], &[], &[], &all).await;
        let mut named = Health::default();
        named.group = Some("g".to_owned());
        check(&[named], &[], &[], &all).await;
        check(&[health(&["a", "b"], 7, None)], &[], &[], &all).await;
    }
}
