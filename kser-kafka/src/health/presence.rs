use std::time::{Duration, Instant};

use kser_core::NotInGroup;

use crate::health::statistics::GroupState;

/// The time outside the group until a warning, and from one warning to the next.
const WARN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// The time in the group without a partition until a warning.
const UNASSIGNED: Duration = Duration::from_secs(60);

/// The known facts about a member and its group.
#[derive(Debug, Default)]
pub(crate) struct Standing<'a> {
    pub(crate) has_partitions: bool,
    /// The last state that the client reported; `None` before the first report.
    pub(crate) client: Option<&'a GroupState>,
    /// The group uses the protocol of KIP-848.
    pub(crate) is_kip848: bool,
    /// The number of members with the classic protocol, if the brokers have told it.
    pub(crate) n_classic: Option<usize>,
    /// The last refusal of a join, if it is recent.
    pub(crate) refusal: Option<&'a str>,
    /// The last error about the brokers, if it is recent.
    pub(crate) trouble: Option<&'a str>,
}

impl Standing<'_> {
    /// Explains why the member is not in its group; `None` while it is.
    pub(crate) fn why_outside(&self) -> Option<String> {
        let Some(GroupState { state, join_state }) = self.client else {
            return (!self.has_partitions).then(|| "it has just begun to join".to_owned());
        };
        if state != "up" {
            let why = match &**state {
                "wait-broker" | "wait-broker-transport" => {
                    "the broker that coordinates the group cannot be reached"
                }
                _ => "the brokers name no coordinator of the group",
            };
            return Some(match self.trouble {
                Some(trouble) => format!("{why} ({trouble})"),
                None => why.to_owned(),
            });
        }
        if self.has_partitions || join_state == "steady" {
            return None;
        }
        if let Some(refusal) = self.refusal {
            return Some(format!("the coordinator refuses it: {refusal}"));
        }
        match (self.is_kip848, self.n_classic) {
            (true, Some(n)) if n > 0 => Some(format!(
                "{n} members of the group use the classic protocol, and the coordinator admits no member with \
                 `group.protocol=consumer` beside them; stop them all first"
            )),
            // The client of an admitted member without partitions reports the same as that of a member that is not admitted.
            (true, _) => None,
            (false, _) => Some(format!(
                "the group rebalances (the client is in {join_state})"
            )),
        }
    }
}

/// The time since which a member is not in its group, or has no partition there.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    outside: Option<Since>,
    unassigned: Option<Since>,
}

#[derive(Debug)]
struct Since {
    at: Instant,
    /// The time of the next warning; `None` if there is none any more.
    warn: Option<Instant>,
}

/// A warning for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warning {
    Outside,
    Unassigned,
}

impl Presence {
    /// Updates the state at a time. Returns how long the member has been outside its group, and the warning that is due.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        is_outside: bool,
        has_partitions: bool,
    ) -> (Option<Duration>, Option<Warning>) {
        if is_outside {
            self.unassigned = None;
            let since = self.outside.get_or_insert_with(|| Since::new(now, WARN.0));
            let warning = since.warns(now, Some(WARN.1)).then_some(Warning::Outside);
            return (Some(now - since.at), warning);
        }
        self.outside = None;
        if has_partitions {
            self.unassigned = None;
            return (None, None);
        }
        let since = self
            .unassigned
            .get_or_insert_with(|| Since::new(now, UNASSIGNED));
        (None, since.warns(now, None).then_some(Warning::Unassigned))
    }
}

impl Since {
    fn new(now: Instant, warn: Duration) -> Self {
        Self {
            at: now,
            warn: Some(now + warn),
        }
    }

    fn warns(&mut self, now: Instant, again: Option<Duration>) -> bool {
        let warns = self.warn.is_some_and(|warn| now >= warn);
        if warns {
            self.warn = again.map(|again| now + again);
        }
        warns
    }
}

/// Logs a warning.
pub(crate) fn warn(warning: Warning, group: &str, outside: Option<&NotInGroup>) {
    match (warning, outside) {
        (Warning::Outside, Some(outside)) => tracing::warn!(
            target: "kser_kafka",
            group, seconds = outside.duration.as_secs(), reason = outside.reason,
            "joining group {group} failed; no record is received from it",
        ),
        _ => tracing::warn!(
            target: "kser_kafka",
            group, seconds = UNASSIGNED.as_secs(),
            "group {group} has assigned no partition to this member; it receives no record, since the group has more members than partitions",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    fn client(state: &str, join_state: &str) -> GroupState {
        GroupState {
            state: state.to_owned(),
            join_state: join_state.to_owned(),
        }
    }

    fn check(standing: &Standing<'_>, expected: Option<&str>) {
        let why = standing.why_outside();
        match expected {
            Some(part) => assert!(
                why.as_ref().is_some_and(|why| why.contains(part)),
                "{why:?}"
            ),
            None => assert_eq!(why, None, "{standing:?}"),
        }
    }

    #[test]
    fn a_member_that_is_not_in_its_group_is_told_why() {
        let lost = client("wait-coord", "init");
        let far = client("wait-broker-transport", "steady");
        let joining = client("up", "wait-join");
        let steady = client("up", "steady");
        let begun = client("up", "init");
        let of = |client| Standing {
            client: Some(client),
            ..Standing::default()
        };
        check(&Standing::default(), Some("just begun"));
        check(&of(&lost), Some("no coordinator"));
        check(&of(&joining), Some("rebalances"));
        // A member without partitions is in its group.
        check(&of(&steady), None);
        for client in [&lost, &far] {
            let standing = Standing {
                has_partitions: true,
                trouble: Some("refused"),
                ..of(client)
            };
            check(&standing, Some("(refused)"));
        }
        let standing = Standing {
            has_partitions: true,
            ..of(&joining)
        };
        check(&standing, None);
        let standing = Standing {
            refusal: Some("it is full"),
            ..of(&joining)
        };
        check(&standing, Some("it is full"));
        for (n_classic, expected) in [(Some(3), Some("3 members")), (Some(0), None), (None, None)] {
            let standing = Standing {
                is_kip848: true,
                n_classic,
                ..of(&begun)
            };
            check(&standing, expected);
        }
    }

    #[test]
    fn a_member_that_stays_outside_is_warned_of_again_and_again() {
        let (begun, mut presence) = (monotonic(), Presence::default());
        let mut warned = Vec::new();
        for second in 0..=140 {
            let (since, warning) = presence.look(begun + Duration::from_secs(second), true, false);
            assert_eq!(since, Some(Duration::from_secs(second)));
            warned.extend(warning.map(|warning| (second, warning)));
        }
        let outside = Warning::Outside;
        assert_eq!(warned, [(10, outside), (70, outside), (130, outside)]);
    }

    #[test]
    fn a_member_without_a_partition_is_warned_of_once_after_a_minute() {
        let (begun, mut presence) = (monotonic(), Presence::default());
        let mut look = |second, has_partitions| {
            presence.look(begun + Duration::from_secs(second), false, has_partitions)
        };
        assert_eq!(look(0, false), (None, None));
        assert_eq!(look(59, false), (None, None));
        assert_eq!(look(60, false), (None, Some(Warning::Unassigned)));
        assert_eq!(look(200, false), (None, None));
        // An assignment in between restarts the minute.
        assert_eq!(look(201, true), (None, None));
        assert_eq!(look(202, false), (None, None));
        assert_eq!(look(262, false), (None, Some(Warning::Unassigned)));
    }
}
