//! Why a run stands: one reason of a closed list, found in the facts of its store, its group and its consumers.

mod reason;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kser::presence::{AnnouncedConsumer, PresentState, RunningTask};
use kser::run::{RunId, Status, Timestamp};
use serde::Serialize;

pub use self::reason::Reason;

/// The time within which a message that is not in its topic may be on its way.
const MOVES: Duration = Duration::from_secs(5);

/// The facts about a run, from which its reason follows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunFacts {
    /// The id of the run.
    pub run: RunId,
    /// The present time, by the clock of the store.
    pub now: Timestamp,
    /// The status of the run.
    pub status: Status,
    /// The position of the step at which the run stands, counted from 1; 0 is the build.
    pub position: u32,
    /// The entrypoint of the step, or of the operation for the build.
    pub entrypoint: String,
    /// The topic of the message of the step, with the prefix.
    pub topic: String,
    /// The group that receives from the topic.
    pub group: String,
    /// The consumer that has begun an attempt at the step, and the end of its lease.
    pub lease: Option<(String, Timestamp)>,
    /// Whether the step is one that no consumer of kser runs. The end of its lease is that of its limit.
    pub is_external: bool,
    /// The time before which the step does not begin.
    pub not_before: Option<Timestamp>,
    /// The time of the last change of the run.
    pub updated: Timestamp,
    /// The time at which a sweep looks at the run.
    pub check_at: Option<Timestamp>,
    /// The number of attempts at the step that have failed, or ended without a report.
    pub attempts: u32,
    /// The error of the last attempt.
    pub error: Option<String>,
    /// The consumers that announce themselves; `None` where they cannot be asked.
    pub consumers: Option<Vec<AnnouncedConsumer>>,
    /// The records of the topic that the group has not settled; `None` where that cannot be asked.
    pub queue: Option<Queue>,
}

/// The topic of a step, as its group sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a topic exists, or it does not exist"
)]
pub enum Queue {
    /// The topic does not exist.
    Missing,
    /// So many records are not settled, those that run now among them.
    Unsettled(u64),
}

/// The reason why a run stands, and the next command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The reason.
    #[serde(flatten)]
    pub reason: Reason,
    /// The reason, for people, in one line.
    pub text: String,
    /// The command that shows more, or mends it.
    pub command: String,
}

impl RunFacts {
    /// Begins with the facts of a run that waits for a consumer, of which nothing else is known.
    #[must_use]
    pub fn new(run: RunId, now: Timestamp, status: Status) -> Self {
        Self {
            run,
            now,
            status,
            position: 0,
            entrypoint: String::new(),
            topic: String::new(),
            group: String::new(),
            lease: None,
            is_external: false,
            not_before: None,
            updated: Timestamp::default(),
            check_at: None,
            attempts: 0,
            error: None,
            consumers: None,
            queue: None,
        }
    }

    /// Finds the reason why the run stands.
    #[must_use]
    pub fn diagnose(&self) -> Diagnosis {
        let reason = self.reason();
        Diagnosis {
            text: reason.text(self),
            command: reason.command(self),
            reason,
        }
    }

    fn reason(&self) -> Reason {
        match (self.status, &self.lease) {
            (Status::Success, _) => Reason::Succeeded,
            (Status::Failed, _) => Reason::Failed,
            (Status::Cancelled, None) => Reason::Cancelled,
            (Status::Cancelled, Some((owner, _))) => Reason::Cancelling { on: owner.clone() },
            (_, Some((_, until))) if self.is_external => match *until < self.now {
                true => Reason::ExternalOverdue,
                false => Reason::External,
            },
            (_, Some((owner, until))) => self.leased(owner, *until),
            (_, None) => self.waiting(),
        }
    }

    /// Finds the reason of a run whose step has begun.
    fn leased(&self, owner: &str, until: Timestamp) -> Reason {
        if until < self.now {
            return Reason::LeaseOver {
                on: owner.to_owned(),
            };
        }
        let suffix = format!("/{owner}");
        let all = self.consumers.as_deref();
        let found = all.and_then(|all| {
            let mut all = all.iter();
            all.find(|consumer| consumer.presence.id.ends_with(&suffix))
        });
        match (all, found) {
            (Some(_), None) => Reason::LeaseOfUnknown {
                on: owner.to_owned(),
            },
            (_, Some(found)) if found.is_silent => Reason::LeaseOfSilent {
                on: owner.to_owned(),
                silent: found.age,
            },
            (_, found) => {
                let task = found.and_then(|found| self.running_on(found));
                let since =
                    |(found, task): (&AnnouncedConsumer, &RunningTask)| found.running_for(task);
                Reason::Runs {
                    on: owner.to_owned(),
                    since: found.zip(task).map(since),
                    progress: task.and_then(|task| task.progress.clone()),
                }
            }
        }
    }

    fn running_on<'a>(&self, consumer: &'a AnnouncedConsumer) -> Option<&'a RunningTask> {
        let mut running = consumer.presence.running.iter();
        running.find(|task| {
            task.run.as_ref() == Some(&self.run) && task.step.is_none_or(|at| at == self.position)
        })
    }

    /// Finds the reason of a run whose step has not begun.
    fn waiting(&self) -> Reason {
        if let Some(until) = self.not_before.filter(|until| *until > self.now) {
            return match self.attempts {
                0 => Reason::Delayed { until },
                _ => Reason::BackOff { until },
            };
        }
        if self.queue == Some(Queue::Missing) {
            return Reason::MissingTopic;
        }
        if let Some(reason) = self.consumers.as_deref().and_then(|all| self.hindered(all)) {
            return reason;
        }
        match self.queue {
            Some(Queue::Unsettled(0)) if self.now.since(self.updated) < MOVES => Reason::Moves,
            Some(Queue::Unsettled(0)) => Reason::Lost,
            Some(Queue::Unsettled(records)) => Reason::Queued { records },
            Some(Queue::Missing) | None => Reason::Unknown,
        }
    }

    /// Finds the hindrance of the consumers of the topic; `None` when one of them can begin the step.
    fn hindered(&self, all: &[AnnouncedConsumer]) -> Option<Reason> {
        let of_topic = |consumer: &&AnnouncedConsumer| {
            let topics = consumer.presence.topics.iter();
            topics
                .map(|topic| topic.as_str())
                .any(|topic| topic == self.topic)
        };
        let members: Vec<_> = all.iter().filter(of_topic).collect();
        if members.is_empty() {
            return Some(Reason::NoConsumer);
        }
        let alive = |consumer: &&&AnnouncedConsumer| !consumer.is_silent;
        let alive: Vec<_> = members.iter().filter(alive).copied().collect();
        let Some(first) = alive.first() else {
            let silent = members.iter().map(|member| member.age).min();
            return Some(Reason::AllSilent {
                consumers: members.len(),
                silent: silent.unwrap_or_default(),
            });
        };
        let entrypoint = self.entrypoint.as_str().into();
        let able = |consumer: &&&AnnouncedConsumer| {
            consumer.presence.has_registered(&entrypoint) != Some(false)
        };
        let able: Vec<_> = alive.iter().filter(able).copied().collect();
        if able.is_empty() {
            return Some(Reason::NotRegistered {
                consumers: alive.len(),
                version: first.presence.version.clone(),
            });
        }
        self.hindrance(&able)
    }

    /// Finds the hindrance of consumers that have registered the entrypoint.
    fn hindrance(&self, able: &[&AnnouncedConsumer]) -> Option<Reason> {
        let is_state = |state| move |member: &&&AnnouncedConsumer| member.presence.state == state;
        let stopping = able.iter().filter(is_state(PresentState::Stopping)).count();
        let paused = able.iter().find(is_state(PresentState::Paused));
        let running = able.iter().find(is_state(PresentState::Running));
        if stopping == able.len() {
            return Some(Reason::AllStopping {
                consumers: stopping,
            });
        }
        if let (Some(paused), None) = (paused, running) {
            let by = paused.presence.paused_by.as_ref();
            return Some(Reason::AllPaused {
                by: by.map(|by| format!("{}: {}", by.actor, by.reason)),
                on: name_of(paused),
                consumers: able.len() - stopping,
            });
        }
        let absent = |member: &&AnnouncedConsumer| {
            let reason = member.presence.not_in_group.get(&self.group)?;
            Some((name_of(member), reason.clone()))
        };
        let all_absent: Vec<_> = able.iter().filter_map(absent).collect();
        if all_absent.len() == able.len()
            && let Some((on, why)) = all_absent.into_iter().next()
        {
            return Some(Reason::NotInGroup { on, why });
        }
        let held = |member: &&AnnouncedConsumer| {
            let mut held = member.presence.held_partitions.iter();
            let held = held.find(|held| held.topic.as_str() == self.topic)?;
            Some(Reason::Held {
                on: name_of(member),
                partition: held.partition,
                why: held.reason.clone(),
            })
        };
        if let Some(reason) = able.iter().find_map(held) {
            return Some(reason);
        }
        let load = |member: &&AnnouncedConsumer| {
            let presence = &member.presence;
            let running = presence.running.len() + presence.more_running;
            (running, presence.places)
        };
        let is_full = able.iter().map(load).all(|(running, places)| {
            // A consumer of a later version may not tell its places.
            places > 0 && running >= places
        });
        let oldest = able.iter().flat_map(|member| {
            let running = member.presence.running.iter();
            running.map(|task| member.running_for(task))
        });
        is_full.then(|| Reason::Full {
            places: able.iter().map(|member| member.presence.places).sum(),
            oldest: oldest.max().unwrap_or(Duration::ZERO),
        })
    }
}

/// Returns the name of a consumer: its instance, or its id.
fn name_of(consumer: &AnnouncedConsumer) -> String {
    let presence = &consumer.presence;
    match &presence.instance {
        Some(instance) => instance.to_string(),
        None => presence.id.clone(),
    }
}
