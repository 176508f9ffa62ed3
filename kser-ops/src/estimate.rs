//! The time that a run has yet to take, by the times that the steps of earlier runs took.

use std::collections::BTreeMap;
use std::time::Duration;

use kser::run::{Attempt, Status, Timestamp};
use serde::Serialize;

/// The number of runs from which on an estimate is made.
const FEWEST: usize = 5;

/// The times that the steps of an operation took, in runs that succeeded.
#[derive(Debug, Clone, Default)]
pub struct StepTimes {
    /// The times by the position of the step; 0 is the build.
    by_position: BTreeMap<u32, Vec<Duration>>,
    runs: usize,
}

/// An estimate, "about" so much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The share of the run that is done, from 0 to 1.
    pub share: f64,
    /// The time until the end of the run.
    #[serde(serialize_with = "crate::json::span", rename = "left_seconds")]
    pub left: Duration,
    /// The number of runs by whose times it is estimated.
    pub runs: usize,
}

impl StepTimes {
    /// Adds a run that was launched at `launched` and has succeeded. The time of a step is that from the end of the step before to its
    /// own, with the waits and the attempts that failed. A step that a person has skipped has none.
    pub fn add(&mut self, launched: Timestamp, attempts: &[Attempt]) {
        self.runs += 1;
        let mut before = launched;
        let done = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        for attempt in done {
            if attempt.by.is_none() {
                let times = self.by_position.entry(attempt.position).or_default();
                times.push(attempt.ended.since(before));
            }
            before = attempt.ended;
        }
    }

    /// Estimates a run of `steps` steps that has stood at the step `position` for the time `here`. `share` is the share of this step
    /// that its handler has reported as done.
    ///
    /// Steps of which no time is known, since the runs before had fewer, count as the median of the others. `None` without at least
    /// five runs, and for a run of which the number of steps is not known yet.
    #[must_use]
    pub fn estimate(
        &self,
        (position, steps): (u32, u32),
        here: Duration,
        share: Option<f64>,
    ) -> Option<Estimate> {
        if self.runs < FEWEST || steps == 0 {
            return None;
        }
        let known = self.by_position.iter();
        let known: BTreeMap<_, _> = known
            .filter_map(|(at, all)| Some((*at, median(all)?)))
            .collect();
        let usual = median(&known.values().copied().collect::<Vec<_>>())?;
        let sum = |range: std::ops::RangeInclusive<u32>| -> Duration {
            // Those without a time are counted, not listed: there may be many.
            let listed: Duration = known.range(range.clone()).map(|(_, time)| *time).sum();
            let in_range = u64::from(*range.end()) + 1 - u64::from(*range.start());
            let with = u64::try_from(known.range(range).count()).unwrap_or(u64::MAX);
            let without = u32::try_from(in_range.saturating_sub(with)).unwrap_or(u32::MAX);
            listed + usual.saturating_mul(without)
        };
        // A run that was launched with its steps has no build.
        let build = known.get(&0).copied().unwrap_or_default();
        let whole = build + sum(1..=steps);
        let step = match position <= steps {
            true => known.get(&position).copied().unwrap_or(usual),
            false => Duration::ZERO,
        };
        let left_here = match share {
            Some(share) => step.mul_f64(1.0 - share.clamp(0.0, 1.0)),
            None => step.saturating_sub(here),
        };
        let to_come = match position < steps {
            true => sum(position + 1..=steps),
            false => Duration::ZERO,
        };
        let left = left_here + to_come;
        let done = whole.saturating_sub(left);
        Some(Estimate {
            share: match whole.is_zero() {
                true => 0.0,
                false => done.as_secs_f64() / whole.as_secs_f64(),
            },
            left,
            runs: self.runs,
        })
    }
}

/// Returns the median; `None` of nothing.
fn median(all: &[Duration]) -> Option<Duration> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use kser::Outcome;

    use super::*;

    /// A run whose build and steps took so many seconds.
    fn times(runs: usize, seconds: &[u64]) -> StepTimes {
        let mut times = StepTimes::default();
        for _ in 0..runs {
            let mut at = Timestamp::from_millis(1_000_000);
            let launched = at;
            let mut attempts = Vec::new();
            for (position, seconds) in (0..).zip(seconds) {
                at = at + Duration::from_secs(*seconds);
                let outcome = Outcome::text("done");
                attempts.push(Attempt::new(position, "a.Task".into(), 1, at, outcome));
            }
            times.add(launched, &attempts);
        }
        times
    }

    fn left(times: &StepTimes, place: (u32, u32), here: u64, share: Option<f64>) -> u64 {
        let estimate = times.estimate(place, Duration::from_secs(here), share);
        estimate
            .unwrap_or_else(|| panic!("an estimate"))
            .left
            .as_secs()
    }

    #[test]
    fn the_medians_of_the_steps_to_come_are_left() {
        let times = times(5, &[1, 10, 20, 30]);
        assert_eq!(left(&times, (1, 3), 0, None), 60);
        assert_eq!(left(&times, (1, 3), 4, None), 56);
        assert_eq!(
            left(&times, (2, 3), 100, None),
            30,
            "a step that is late ends soon"
        );
        assert_eq!(
            left(&times, (2, 3), 100, Some(0.5)),
            40,
            "a handler knows better"
        );
        assert_eq!(left(&times, (3, 3), 0, Some(7.0)), 0);
        assert_eq!(left(&times, (4, 3), 0, None), 0, "at the end");
        let half = times.estimate((2, 3), Duration::from_secs(20), None);
        let share = half.map(|half| (half.share * 61.0).round());
        assert_eq!(share, Some(31.0));
    }

    #[test]
    fn steps_beyond_those_of_earlier_runs_take_the_usual_time() {
        let times = times(5, &[1, 10, 20, 30]);
        assert_eq!(left(&times, (4, 1000), 0, None), 997 * 20);
        assert_eq!(
            left(&times, (1, u32::MAX), 0, None),
            60 + u64::from(u32::MAX - 3) * 20
        );
    }

    #[test]
    fn without_five_runs_or_a_plan_there_is_none() {
        assert_eq!(
            times(4, &[1, 10]).estimate((1, 1), Duration::ZERO, None),
            None
        );
        assert_eq!(
            times(9, &[1, 10]).estimate((0, 0), Duration::ZERO, None),
            None
        );
        assert_eq!(times(9, &[]).estimate((1, 1), Duration::ZERO, None), None);
        let instant = times(9, &[0, 0]).estimate((1, 1), Duration::ZERO, None);
        assert_eq!(
            instant.map(|instant| (instant.share, instant.left)),
            Some((0.0, Duration::ZERO))
        );
    }

    #[test]
    fn failed_attempts_are_part_of_the_time_of_their_step_and_skipped_steps_have_none() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let done = |position, seconds| {
            Attempt::new(
                position,
                "a.Task".into(),
                1,
                at(seconds),
                Outcome::text("done"),
            )
        };
        let mut failed = done(1, 5);
        failed.status = Status::Failed;
        let mut skipped = done(2, 900);
        skipped.by =
            serde_json::from_str(r#"{"verb":"skip step","actor":"oncall","reason":""}"#).ok();
        let mut times = StepTimes::default();
        for _ in 0..5 {
            times.add(
                at(0),
                &[
                    done(0, 1),
                    failed.clone(),
                    done(1, 11),
                    skipped.clone(),
                    done(3, 910),
                ],
            );
        }
        assert_eq!(
            times.by_position.get(&1),
            Some(&vec![Duration::from_secs(10); 5])
        );
        assert_eq!(times.by_position.get(&2), None);
        assert_eq!(
            times.by_position.get(&3),
            Some(&vec![Duration::from_secs(10); 5])
        );
    }
}
