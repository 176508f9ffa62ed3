use super::Report;
use crate::case::Case;
use crate::choices::{self, Choices};
use crate::failure::Failure;
use crate::faults::{Fault, Faults, Site};
use crate::invariants::{self, Broken};
use crate::sim::{Finished, Run, Scenario, Swarm, Trouble};

/// How often something goes wrong in a random run, at most.
const MOST_FAULTS: u64 = 4;

type Plan = Vec<(Site, Fault)>;
type Found = Result<(), Box<Failure>>;

/// Makes runs until one is found in which something does not hold.
pub(super) struct Search<'s, S> {
    scenario: &'s Scenario<'s, S>,
    check: &'s dyn Fn(&Run<'_, S>),
    pub(super) report: Report,
}

impl<'s, S> Search<'s, S> {
    pub(super) fn new(scenario: &'s Scenario<'s, S>, check: &'s dyn Fn(&Run<'_, S>)) -> Self {
        Self {
            scenario,
            check,
            report: Report::default(),
        }
    }

    /// Makes one run again.
    pub(super) fn replay(&mut self, case: &Case) -> Found {
        let choices = Choices::Replay(case.picks.clone());
        self.planned(&case.plan, choices).map(|_| ())
    }

    /// Makes a run in which nothing goes wrong, and one for each plan. Returns the plans.
    pub(super) fn plans(&mut self, faults: &Faults) -> Result<Vec<Plan>, Box<Failure>> {
        let clean = self.planned(&Plan::new(), Choices::boring())?;
        let mut plans = vec![Plan::new()];
        for fault in faults.singles(&clean.seen) {
            let plan = vec![fault];
            self.planned(&plan, Choices::boring())?;
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Makes a run for each order, with each of the plans.
    pub(super) fn every_order(&mut self, plans: &[Plan], departures: u32) -> Found {
        for plan in plans {
            let mut next = Some(Vec::new());
            while let Some(picks) = next {
                // In another order the run may not come to where something was to go wrong.
                let trouble = Trouble::planned(plan);
                let finished = self.run(trouble, Choices::Bounded(picks, departures));
                self.judge(&finished, &Plan::new())?;
                next = finished.tape.next();
            }
        }
        Ok(())
    }

    /// Makes runs that are drawn.
    pub(super) fn random(&mut self, runs: usize, seed: u64, faults: &Faults) -> Found {
        let mut seed = seed;
        for _ in 0..runs {
            let trouble = swarm(faults, choices::next(&mut seed));
            let choices = Choices::Seeded(choices::next(&mut seed));
            let finished = self.run(trouble, choices);
            self.judge(&finished, &Plan::new())?;
        }
        Ok(())
    }

    /// Makes a run in which what is planned has to go wrong.
    fn planned(&mut self, plan: &Plan, choices: Choices) -> Result<Finished<S>, Box<Failure>> {
        let finished = self.run(Trouble::planned(plan), choices);
        self.judge(&finished, plan)?;
        Ok(finished)
    }

    fn run(&mut self, trouble: Trouble, choices: Choices) -> Finished<S> {
        let finished = self.scenario.run(trouble, choices);
        let report = &mut self.report;
        report.runs += 1;
        report.steps += finished.steps;
        report.virtual_time += finished.elapsed;
        let hash = finished.shared.with(|state| state.trace.hash());
        report.trace_hash = report.trace_hash.rotate_left(5) ^ hash;
        finished
    }

    fn judge(&self, finished: &Finished<S>, plan: &Plan) -> Found {
        let Some(broken) = invariants::judge(finished, plan, self.check) else {
            return Ok(());
        };
        let differs = self.repeat(finished);
        Err(Box::new(Failure::new(differs.unwrap_or(broken), finished)))
    }

    /// Makes a run again, and says where it differs.
    fn repeat(&self, finished: &Finished<S>) -> Option<Broken> {
        let case = finished.case();
        let again = self
            .scenario
            .run(Trouble::planned(&case.plan), Choices::Replay(case.picks));
        let first = finished.shared.with(|state| state.trace.clone());
        let second = again.shared.with(|state| state.trace.clone());
        let (at, first, second) = first.difference(&second)?;
        let what = format!(
            "the same run, made twice, differs from event {at} on: first {first:?}, then {second:?}. Something decides by \
             chance: real time, random numbers, or the order of a HashMap"
        );
        Some(Broken::new("Deterministic", what))
    }
}

/// Some of the kinds of faults, drawn.
fn swarm(faults: &Faults, mut seed: u64) -> Trouble {
    let some = choices::next(&mut seed);
    let kinds = faults.kinds().iter().enumerate();
    let kinds = kinds.filter(|(at, _)| (some >> (at % 64)) & 1 == 1);
    let kinds: Vec<Fault> = kinds.map(|(_, fault)| *fault).collect();
    if kinds.is_empty() {
        return Trouble::Nothing;
    }
    let most = choices::next(&mut seed) % MOST_FAULTS + 1;
    let one_in = [5, 15, 50][usize::try_from(choices::next(&mut seed) % 3).unwrap_or(0)];
    Trouble::Random(Swarm {
        seed,
        kinds,
        one_in,
        most: usize::try_from(most).unwrap_or(1),
    })
}
