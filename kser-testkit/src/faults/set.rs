use super::{Fault, Site};
use crate::sim::ReachedSite;

/// The faults of the runs of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    kinds: Vec<Fault>,
    pairs: bool,
    only_drawn: bool,
    /// The largest number of equal events of a run, such as the deliveries of one record, at which faults are tried.
    most_equal: Option<u32>,
}

impl Faults {
    /// Returns no faults: one run.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns one crash of a consumer, before or after every call and at every wait of a handler: one run for each. The crashes
    /// are a part of [`any_single`](Self::any_single), which also finds the mistakes that show when a call only fails.
    #[must_use]
    pub fn any_single_crash() -> Self {
        Self::single([Fault::CrashBefore, Fault::CrashAfter])
    }

    /// Returns one fault of any kind, wherever it can happen: one run for each.
    #[must_use]
    pub fn any_single() -> Self {
        Self::single(Fault::all())
    }

    /// Returns one fault of these kinds, wherever it can happen: one run for each.
    #[must_use]
    pub fn single(kinds: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Returns one fault of these kinds, and pairs of them, the second at every site that the run reaches after the first: one
    /// run for each.
    #[must_use]
    pub fn pairs(kinds: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            pairs: true,
            ..Self::single(kinds)
        }
    }

    /// Returns the faults of [`any_single_crash`](Self::any_single_crash), and pairs of crashes, the second at every site that
    /// the run reaches after the first. Among the pairs, a crash right after a call stands for the crash before the next call of
    /// its process, where nothing happens between the two.
    #[must_use]
    pub fn any_two_crashes() -> Self {
        Self::pairs([Fault::CrashBefore, Fault::CrashAfter])
    }

    /// Tries faults only at the first `most` of the equal events of a run, by the number of their [`Site`]: the first two
    /// deliveries of a record, say, where a busy consumer gives the record back a hundred times. Does not limit the faults
    /// that [`random`](crate::Sim::random) draws. Without a limit unless set.
    #[must_use]
    pub const fn at_first(mut self, most: u32) -> Self {
        self.most_equal = Some(most);
        self
    }

    /// Keeps the faults for the runs that [`random`](crate::Sim::random) draws: no fault is tried in a run of its own.
    #[must_use]
    pub const fn only_drawn(mut self) -> Self {
        self.only_drawn = true;
        self
    }

    pub(crate) fn kinds(&self) -> &[Fault] {
        &self.kinds
    }

    pub(crate) const fn are_pairs(&self) -> bool {
        self.pairs
    }

    /// Says whether a crash is left out of the pairs, because it is the same as another: a crash before a call is the same as a
    /// crash after the call before it, if nothing happens between the two.
    pub(crate) fn repeats(&self, seen: &[ReachedSite], site: &Site, fault: Fault) -> bool {
        let both = [Fault::CrashBefore, Fault::CrashAfter].map(|crash| self.kinds.contains(&crash));
        let applies = fault == Fault::CrashBefore && both == [true; 2];
        applies && seen.iter().any(|seen| seen.same && seen.site == *site)
    }

    /// Lists single faults at the sites of a run, those after `first` if it is given.
    pub(crate) fn at(&self, seen: &[ReachedSite], first: Option<&Site>) -> Vec<(Site, Fault)> {
        if self.only_drawn {
            return Vec::new();
        }
        let limit = self.most_equal.unwrap_or(u32::MAX);
        let from = first.and_then(|first| seen.iter().position(|seen| seen.site == *first));
        let after = seen.iter().skip(from.map_or(0, |from| from + 1));
        let faults = after
            .filter(|seen| seen.consumer && seen.site.nth() <= limit)
            .flat_map(|seen| {
                let fitting = self.kinds.iter().filter(|fault| fault.fits(seen.kind));
                fitting.map(|fault| (seen.site.clone(), *fault))
            });
        faults.collect()
    }
}

#[cfg(test)]
mod tests {
    use kser::{Entrypoint, Step};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::choices::Choices;
    use crate::heartbeat::Heartbeat;
    use crate::sim::{FaultPlan, Scenario, Setup, World};

    #[derive(Clone, Serialize, Deserialize, Entrypoint)]
    #[entrypoint("shop.Work")]
    struct Work {}

    async fn work(_: Work) {}

    fn make(world: &mut World) {
        world.consumers(2).task(work);
        for _ in 0..2 {
            world.launch_steps("shop.Job", vec![Step::new(Work {}); 2]);
        }
        world.send_with_key(Work {}, "one key");
    }

    /// Makes a run, and returns the part of its trace after the crash.
    fn rest(scenario: &Scenario<'_, ()>, site: &Site, fault: Fault) -> String {
        let trouble = FaultPlan::planned(&[(site.clone(), fault)]);
        let run = scenario.run(trouble, Choices::boring());
        let trace = run.shared.with(|state| state.trace.to_string());
        let (_, rest) = trace.split_once(" crashes\n").expect("it has crashed");
        rest.to_owned()
    }

    #[test]
    fn what_is_left_out_of_the_pairs_is_the_same_as_what_is_tried() {
        let setups = [
            Setup::stored(),
            Setup::exactly_once(),
            Setup::at_least_once(),
        ];
        for setup in setups {
            let scenario = Scenario {
                make: &make,
                setup,
                heal_within: std::time::Duration::from_secs(3600),
                heartbeat: Heartbeat::default(),
            };
            let clean = scenario.run(FaultPlan::Nothing, Choices::boring());
            let mut left_out = 0;
            for pair in clean.seen.windows(2) {
                let [before, after] = pair else { continue };
                if !after.same || !after.consumer {
                    continue;
                }
                left_out += 1;
                let fault = match Fault::CrashAfter.fits(before.kind) {
                    true => Fault::CrashAfter,
                    false => Fault::CrashBefore,
                };
                assert_eq!(
                    rest(&scenario, &before.site, fault),
                    rest(&scenario, &after.site, Fault::CrashBefore),
                    "{} and {}",
                    before.site,
                    after.site
                );
            }
            assert!(left_out >= 2, "{left_out}");
        }
    }
}
