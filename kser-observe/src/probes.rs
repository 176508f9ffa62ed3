use std::fmt;
use std::time::Duration;

use kser::consumer::{ConsumerHealth, ConsumerState, Health};
use serde::Serialize;

/// The limits of the probes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The consumers that are to run before the process counts as started or ready.
    pub(crate) consumers: usize,
    /// The age of a consumer's figures from which on the consumer counts as stuck.
    pub(crate) stuck_after: Duration,
    /// The time without an answer of the backend from which on it counts as silent.
    pub(crate) silent_after: Duration,
    /// Whether a paused consumer is ready.
    pub(crate) ready_while_paused: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            consumers: 1,
            stuck_after: Duration::from_secs(30),
            silent_after: Duration::from_secs(15),
            ready_while_paused: false,
        }
    }
}

/// The answers of the probes at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProbeReport {
    /// Whether the process works. Nothing of the backend counts.
    pub live: bool,
    /// Whether the process receives messages and can run them.
    pub ready: bool,
    /// Whether the process has started: its consumers have been in their groups once.
    pub started: bool,
    /// The reasons why the process is not live.
    pub not_live: Vec<Finding>,
    /// The reasons why the process is not ready.
    pub not_ready: Vec<Finding>,
    /// The health of each consumer.
    pub consumers: Vec<ConsumerHealth>,
}

/// A reason for the answer of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check that fails, one of a closed list: `stuck`, `no_consumer`, `starting`, `failed`, `draining`, `paused`,
    /// `not_joined`, `backend_silent` and `missing_topic`.
    pub check: &'static str,
    /// The group that the finding is about; `None` where it is about a consumer or the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The reason, for people.
    pub reason: String,
}

impl Finding {
    fn new(check: &'static str, group: Option<&str>, reason: impl Into<String>) -> Self {
        Self {
            check,
            group: group.map(str::to_owned),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check,
            group,
            reason,
        } = self;
        match group {
            Some(group) => write!(f, "{check}: group {group}: {reason}"),
            None => write!(f, "{check}: {reason}"),
        }
    }
}

impl ProbeReport {
    /// Answers the probes for consumers with this health. `started` says whether the process has started before.
    pub(crate) fn new(consumers: Vec<ConsumerHealth>, limits: &Limits, started: bool) -> Self {
        // A consumer that stopped on request has done its part.
        let stays = |health: &&ConsumerHealth| health.state != ConsumerState::Stopped;
        let not_live = consumers.iter().filter_map(|health| stuck(health, limits));
        let not_live: Vec<_> = not_live.collect();
        let staying: Vec<_> = consumers.iter().filter(stays).collect();
        let mut not_ready = Vec::new();
        if staying.len() < limits.consumers {
            let (n, of) = (staying.len(), limits.consumers);
            let reason = format!("{n} of {of} consumers run");
            not_ready.push(Finding::new("no_consumer", None, reason));
        }
        for health in &staying {
            not_ready.extend(unready(health, limits));
        }
        // A process that drains or whose backend is silent has started all the same.
        let starts = |finding: &Finding| {
            matches!(
                finding.check,
                "no_consumer" | "starting" | "failed" | "not_joined"
            )
        };
        Self {
            live: not_live.is_empty(),
            ready: not_ready.is_empty() && not_live.is_empty(),
            started: started || !not_ready.iter().any(starts),
            not_live,
            not_ready,
            consumers,
        }
    }
}

/// Says why a consumer is stuck; `None` if it is not. Only a consumer that runs updates its figures.
fn stuck(health: &ConsumerHealth, limits: &Limits) -> Option<Finding> {
    let runs = health.state == ConsumerState::Running && !health.stopping;
    let updated = health.updated.filter(|_| runs)?;
    let reason = || {
        format!(
            "a consumer has done nothing for {} s: its runtime is blocked, such as by handlers that do not yield",
            updated.as_secs()
        )
    };
    (updated > limits.stuck_after).then(|| Finding::new("stuck", None, reason()))
}

/// Lists the reasons why a consumer is not ready.
fn unready(health: &ConsumerHealth, limits: &Limits) -> Vec<Finding> {
    let of_consumer = |check, reason: &str| vec![Finding::new(check, None, reason)];
    match &health.state {
        ConsumerState::Failed { error } => return of_consumer("failed", error),
        ConsumerState::Aborted => return of_consumer("failed", "the consumer was dropped"),
        _ if health.stopping => {
            return of_consumer("draining", "the consumer stops, and finishes its tasks");
        }
        ConsumerState::Running if health.updated.is_some() => {}
        _ => return of_consumer("starting", "the consumer subscribes"),
    }
    let mut found = Vec::new();
    if health.paused && !limits.ready_while_paused {
        found.extend(of_consumer(
            "paused",
            "the consumer takes no new deliveries",
        ));
    }
    for member in &health.transport {
        found.extend(outside(member, limits));
    }
    found
}

/// Lists the reasons why a member of a group receives nothing.
fn outside(member: &Health, limits: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    for outside in &member.not_in_group {
        let reason = format!("{} s: {}", outside.duration.as_secs(), outside.reason);
        found.push(Finding::new("not_joined", Some(&outside.group), reason));
    }
    let group = member.group.as_deref();
    let heard = member.last_heard.unwrap_or_default();
    if heard > limits.silent_after {
        let reason = format!("no broker has answered for {} s", heard.as_secs());
        found.push(Finding::new("backend_silent", group, reason));
    }
    for topic in &member.missing {
        let reason = format!("topic {topic} does not exist");
        found.push(Finding::new("missing_topic", group, reason));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use kser::consumer::NotInGroup;

    /// Makes the health of a consumer that runs, in its group.
    fn healthy() -> ConsumerHealth {
        let mut member = Health::default();
        member.group = Some("kser.dice".to_owned());
        member.last_heard = Some(Duration::from_millis(300));
        let mut health = ConsumerHealth::default();
        health.state = ConsumerState::Running;
        health.updated = Some(Duration::from_secs(1));
        health.transport = vec![member];
        health
    }

    fn answers(change: impl FnOnce(&mut ConsumerHealth)) -> (bool, bool, bool, Vec<&'static str>) {
        let mut health = healthy();
        change(&mut health);
        let report = ProbeReport::new(vec![health], &Limits::default(), false);
        let checks = report.not_live.iter().chain(&report.not_ready);
        let checks = checks.map(|finding| finding.check).collect();
        (report.live, report.ready, report.started, checks)
    }

    #[test]
    fn a_consumer_in_its_group_is_live_ready_and_started() {
        assert_eq!(answers(|_| {}), (true, true, true, vec![]));
    }

    #[test]
    fn no_state_of_the_backend_is_a_reason_to_restart() {
        let day = Duration::from_secs(86_400);
        let silent = answers(|health| health.transport[0].last_heard = Some(day));
        assert_eq!(silent, (true, false, true, vec!["backend_silent"]));
        let outside = answers(|health| {
            let outside = NotInGroup::new("kser.dice", day, "the group rebalances");
            health.transport[0].not_in_group.push(outside);
        });
        assert_eq!(outside, (true, false, false, vec!["not_joined"]));
        let missing = answers(|health| {
            let topic = kser::message::Topic::new("dice").unwrap();
            health.transport[0].missing.push(topic);
        });
        assert_eq!(missing, (true, false, true, vec!["missing_topic"]));
    }

    #[test]
    fn a_consumer_that_is_stuck_is_not_live() {
        let late = Some(Duration::from_secs(31));
        let stuck = answers(|health| health.updated = late);
        assert_eq!(stuck, (false, false, true, vec!["stuck"]));
        // A stop has a limit of its own, and a consumer that has ended updates nothing.
        let stops = answers(|health| {
            health.updated = late;
            health.stopping = true;
        });
        assert_eq!(stops, (true, false, true, vec!["draining"]));
        let failed = answers(|health| {
            health.updated = late;
            let error = "the group is gone".to_owned();
            health.state = ConsumerState::Failed { error };
        });
        assert_eq!(failed, (true, false, false, vec!["failed"]));
    }

    #[test]
    fn a_paused_consumer_is_ready_if_it_is_to_be() {
        let paused = answers(|health| health.paused = true);
        assert_eq!(paused, (true, false, true, vec!["paused"]));
        let limits = Limits {
            ready_while_paused: true,
            ..Limits::default()
        };
        let mut health = healthy();
        health.paused = true;
        assert!(ProbeReport::new(vec![health], &limits, false).ready);
    }

    #[test]
    fn a_process_is_ready_once_as_many_consumers_run_as_it_is_to_have() {
        let report = |running: usize, consumers: usize, started: bool| {
            let limits = Limits {
                consumers,
                ..Limits::default()
            };
            let running = vec![healthy(); running];
            let report = ProbeReport::new(running, &limits, started);
            (report.ready, report.started)
        };
        assert_eq!(report(0, 1, false), (false, false));
        assert_eq!(report(1, 2, false), (false, false));
        assert_eq!(report(2, 2, false), (true, true));
        assert_eq!(report(0, 0, false), (true, true));
        // Once started, always started.
        assert_eq!(report(0, 1, true), (false, true));
        let starting = answers(|health| health.state = ConsumerState::Starting);
        assert_eq!(starting, (true, false, false, vec!["starting"]));
    }
}
