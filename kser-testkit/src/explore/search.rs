use super::Report;
use super::kept::Kept;
use super::shrink::shrink;
use crate::case::Case;
use crate::choices::{self, Choices};
use crate::failure::Failure;
use crate::faults::{Fault, Faults, Site};
use crate::invariants::{self, Broken};
use crate::quiet::quietly;
use crate::sim::{Finished, Run, Scenario, Swarm, Trouble};

/// How often something goes wrong in a random run, at most.
const MOST_FAULTS: u64 = 12;

type Plan = Vec<(Site, Fault)>;
type Found = Result<(), Box<Failure>>;

/// Makes runs until one is found in which something does not hold.
pub(super) struct Search<'s, S> {
    scenario: &'s Scenario<'s, S>,
    check: &'s dyn Fn(&Run<'_, S>),
    kept: Kept,
    pub(super) report: Report,
}

impl<'s, S> Search<'s, S> {
    pub(super) fn new(
        scenario: &'s Scenario<'s, S>,
        check: &'s dyn Fn(&Run<'_, S>),
        kept: Kept,
    ) -> Self {
        Self {
            scenario,
            check,
            kept,
            report: Report::default(),
        }
    }

    /// Makes one run again.
    pub(super) fn replay(&mut self, case: &Case) -> Found {
        let choices = Choices::Replay(case.picks.clone());
        self.planned(&case.plan, choices).map(|_| ())
    }

    /// Makes the runs again that failed before. Those that the scenario no longer comes to are told, and left out.
    pub(super) fn regressions(&mut self) -> Found {
        for case in self.kept.cases() {
            match self.replay(&case) {
                Err(failure) if failure.invariant() == "NotVacuous" => {
                    eprintln!(
                        "a run that failed before is no longer one: {}",
                        failure.what()
                    );
                }
                found => found?,
            }
        }
        Ok(())
    }

    /// Makes a run in which nothing goes wrong, and one for each plan. Returns the plans.
    pub(super) fn plans(&mut self, faults: &Faults) -> Result<Vec<Plan>, Box<Failure>> {
        let clean = self.planned(&Plan::new(), Choices::boring())?;
        let mut plans = vec![Plan::new()];
        for fault in faults.at(&clean.seen, None) {
            let plan = vec![fault];
            let first = self.planned(&plan, Choices::boring())?;
            if faults.are_pairs() {
                self.pairs(&plan, &first, faults)?;
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Has something else go wrong wherever a run comes to after its first fault.
    fn pairs(&mut self, plan: &Plan, first: &Finished<S>, faults: &Faults) -> Found {
        let fired = first.fired.first().map(|(site, _)| site);
        for second in faults.at(&first.seen, fired) {
            let both = [plan.clone(), vec![second]].concat();
            self.planned(&both, Choices::boring())?;
        }
        Ok(())
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
        let finished = quietly(|| self.scenario.run(trouble, choices));
        let report = &mut self.report;
        report.runs += 1;
        report.steps += finished.steps;
        report.virtual_time += finished.elapsed;
        let hash = finished.shared.with(|state| state.trace.hash());
        report.trace_hash = report.trace_hash.rotate_left(5) ^ hash;
        finished
    }

    fn judge(&self, finished: &Finished<S>, plan: &Plan) -> Found {
        let Some(broken) = self.broken(finished, plan) else {
            return Ok(());
        };
        if broken.invariant == "NotVacuous" {
            return Err(Box::new(Failure::new(broken, finished)));
        }
        if let Some(differs) = self.repeat(finished) {
            return Err(Box::new(Failure::new(differs, finished)));
        }
        let found = finished.case();
        // At once: what follows may be stopped.
        self.kept.keep(&found, None);
        let mut smallest = None;
        let (small, runs) = shrink(found.clone(), &mut |case| {
            let again = self.again(case);
            let same = self.broken(&again, &Plan::new());
            let same = same.filter(|other| other.invariant == broken.invariant);
            let fails = same.is_some();
            smallest = same
                .map(|broken| Failure::new(broken, &again))
                .or(smallest.take());
            fails
        });
        let saved = self.kept.keep(&small, Some(&found));
        let failure = smallest.unwrap_or_else(|| Failure::new(broken, finished));
        Err(Box::new(failure.shrunk(&found, runs).saved_in(saved)))
    }

    fn broken(&self, finished: &Finished<S>, plan: &Plan) -> Option<Broken> {
        quietly(|| invariants::judge(finished, plan, self.check))
    }

    fn again(&self, case: &Case) -> Finished<S> {
        let choices = Choices::Replay(case.picks.clone());
        quietly(|| self.scenario.run(Trouble::planned(&case.plan), choices))
    }

    /// Makes a run again, and says where it differs.
    fn repeat(&self, finished: &Finished<S>) -> Option<Broken> {
        let again = self.again(&finished.case());
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
