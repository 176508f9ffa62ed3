use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kser_core::presence::{Presence, PresenceStore, PresentState, RunningTask};
use kser_core::{Error, Timestamp, Topic};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ConsumerHandle;
use super::processor::Processor;

/// The longest time that an announcement takes.
const LIMIT: Duration = Duration::from_secs(5);

/// The time for the withdrawal at the end of a consumer.
const WITHDRAWAL: Duration = Duration::from_secs(1);

/// Announces a consumer to operators from its start to its end, on a task of its own, so that no delivery waits for it. When it is
/// dropped, as in a crash, the last announcement stays until it is forgotten.
#[derive(Debug)]
pub(super) struct Announcer {
    task: JoinSet<()>,
    consumer: Option<Announced>,
}

/// A consumer that announces itself.
#[derive(Debug, Clone)]
struct Announced {
    store: Arc<dyn PresenceStore>,
    processor: Arc<Processor>,
    handle: ConsumerHandle,
    topics: Vec<Topic>,
    id: String,
    started: Timestamp,
}

impl Announcer {
    /// Starts to announce, if the backend keeps announcements and the consumer announces itself.
    pub(super) fn start(
        processor: &Arc<Processor>,
        handle: &ConsumerHandle,
        topics: Vec<Topic>,
        started: Timestamp,
    ) -> Self {
        let mut task = JoinSet::new();
        let place = processor.shared.presence.as_ref();
        let place = place.filter(|_| processor.options.announces);
        let consumer = place.map(|place| Announced {
            store: Arc::clone(&place.store),
            id: id_of(processor, &topics),
            processor: Arc::clone(processor),
            handle: handle.clone(),
            topics,
            started,
        });
        if let Some(consumer) = consumer.clone() {
            task.spawn(async move { consumer.announce_all().await });
        }
        Self { task, consumer }
    }

    /// Ends the announcements, and withdraws the last one, unless the backend does not answer, or it is that of a later life of the
    /// instance.
    pub(super) async fn end(mut self) {
        self.task.shutdown().await;
        let Some(consumer) = self.consumer else {
            return;
        };
        let is_superseded = consumer.processor.superseded.is_cancelled();
        if is_superseded || consumer.handle.announcements().has_failed() {
            return;
        }
        let withdrawn = timeout(WITHDRAWAL, consumer.store.withdraw(&consumer.id)).await;
        if !matches!(withdrawn, Ok(Ok(()))) {
            tracing::debug!(target: "kser", "withdrawing the announcement of the consumer failed; operators see it as silent");
        }
    }
}

impl Announced {
    async fn announce_all(&self) {
        loop {
            let announced = match timeout(LIMIT, self.announce()).await {
                Ok(announced) => announced,
                Err(_) => Err(Error::TimedOut {
                    what: "announcing the consumer",
                }),
            };
            let pause = self.handle.announcements().note(announced);
            // A change by an operator is announced at once.
            let _ = timeout(pause, self.handle.changed().notified()).await;
        }
    }

    async fn announce(&self) -> Result<(), Error> {
        let text = self.presence().into_text()?;
        self.store.announce(&self.id, text).await
    }

    fn presence(&self) -> Presence {
        let (processor, shared) = (&self.processor, &self.processor.shared);
        let health = self.handle.health();
        let mut presence = Presence::new(&self.id);
        presence.instance = processor.options.instance.clone();
        presence.groups = groups(processor, &self.topics);
        presence.topics = self.topics.clone();
        presence.version = processor.options.version.clone();
        env!("CARGO_PKG_VERSION").clone_into(&mut presence.kser);
        presence.started = self.started;
        presence.at = shared.clock.wall();
        presence.now = match &shared.store {
            Some(_) => shared.store_clock.now(),
            None => shared.clock.now(),
        };
        presence.state = match (health.stopping, health.paused) {
            (true, _) => PresentState::Stopping,
            (false, true) => PresentState::Paused,
            (false, false) => PresentState::Running,
        };
        presence.remote_control = processor.options.obeys;
        presence.paused_by = self.handle.paused().by_operator();
        presence.places = processor.options.concurrency;
        presence.entrypoints = processor.registry.entrypoints().cloned().collect();
        presence.entrypoints.sort_unstable();
        presence.running = self.running();
        presence.held = health.held;
        presence.held_bytes = health.held_bytes;
        presence.parked = health.parked;
        presence.held_partitions = health.unsettled;
        let mut assigned: BTreeMap<Topic, Vec<i32>> = BTreeMap::new();
        for member in health.transport {
            for (topic, partition) in member.assigned {
                assigned.entry(topic).or_default().push(partition);
            }
            presence.held_partitions.extend(member.held);
            presence.missing.extend(member.missing);
            let absent = member.not_in_group.into_iter();
            presence
                .not_in_group
                .extend(absent.map(|absent| (absent.group, absent.reason)));
            presence.lag = sum(presence.lag, member.lag);
            let oldest = member.oldest_waiting.map(|age| age.as_millis());
            let oldest = oldest.map(|age| u64::try_from(age).unwrap_or(u64::MAX));
            presence.oldest_waiting_ms = presence.oldest_waiting_ms.max(oldest);
        }
        let assigned = assigned.into_iter();
        presence.assigned = assigned.map(|(topic, all)| (topic, ranges(all))).collect();
        presence
    }

    /// Lists the running attempts. Texts of handlers are not shown where the client encrypts.
    fn running(&self) -> Vec<RunningTask> {
        let mut running = self.handle.running();
        if self.processor.shared.writer.payloads.is_encrypted() {
            for progress in running.iter_mut().filter_map(|task| task.progress.as_mut()) {
                progress.text.clear();
            }
        }
        running
    }
}

fn groups(processor: &Processor, topics: &[Topic]) -> Vec<String> {
    let routes = &processor.shared.writer.routes;
    let mut groups: Vec<_> = topics.iter().map(|topic| routes.group(topic)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Returns the id of a consumer: its first group, and its name or a random id.
pub(super) fn id_of(processor: &Processor, topics: &[Topic]) -> String {
    let groups = groups(processor, topics);
    let group = groups.first().map_or("", String::as_str);
    format!("{group}/{}", processor.owner.instance)
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}

/// Writes numbers as ranges: `0-5,8`.
fn ranges(mut numbers: Vec<i32>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): (i32, i32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let texts: Vec<_> = ranges.into_iter().map(text).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_written_as_ranges() {
        assert_eq!(ranges(vec![]), "");
        assert_eq!(ranges(vec![3]), "3");
        assert_eq!(ranges(vec![5, 0, 1, 2, 8, 4, 1]), "0-2,4-5,8");
    }
}
