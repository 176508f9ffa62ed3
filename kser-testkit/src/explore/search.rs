use kser_core::Status;

use super::kept::Kept;
use super::report::Report;
use super::shrink::shrink;
use super::usual::{Usual, differs_from};
use crate::choices::{self, Choices};
use crate::failure::Failure;
use crate::faults::{Fault, Faults, Site};
use crate::invariants;
use crate::plan::Plan;
use crate::quiet::quietly;
#[cfg(feature = "html")]
use crate::sim::Trace;
use crate::sim::{End, FaultPlan, Finished, Run, Scenario, Swarm};
use crate::violation::Violation;

/// The greatest number of faults in a random run.
const MOST_FAULTS: u64 = 12;

type Faulty = Vec<(Site, Fault)>;
type Found = Result<(), Box<Failure>>;

/// A search for a run in which an invariant or an assertion does not hold.
pub(super) struct Search<'s, S> {
    scenario: &'s Scenario<'s, S>,
    check: &'s dyn Fn(&Run<'_, S>),
    kept: Kept,
    /// The run without faults.
    usual: Option<Usual>,
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
            usual: None,
            report: Report::default(),
        }
    }

    /// Makes one run again, just as it was.
    pub(super) fn replay(&mut self, case: &Plan) -> Found {
        self.learn_the_usual();
        let choices = Choices::Replay(case.picks.clone());
        let finished = self.planned(&case.faults, choices)?;
        match finished.tape.strays(&case.picks) {
            Some(what) => Err(vacuous(what, &finished, case)),
            None => Ok(()),
        }
    }

    /// Makes one run that may not reach the sites of all planned faults.
    pub(super) fn plan(&mut self, plan: &Plan) -> Result<Finished<S>, Box<Failure>> {
        let choices = Choices::Replay(plan.picks.clone());
        let finished = self.run(FaultPlan::planned(&plan.faults), choices);
        self.judge(&finished, &Faulty::new())?;
        Ok(finished)
    }

    /// Makes the run without faults to learn how it ends, unless that is known.
    fn learn_the_usual(&mut self) {
        if self.usual.is_none() {
            let clean = self.again(&Plan::default());
            self.usual = Some(Usual::of(&clean)).filter(|_| clean.end == End::Done);
        }
    }

    /// Returns the run without faults, if nothing is wrong with it.
    #[cfg(feature = "html")]
    pub(super) fn good(&self) -> Option<Trace> {
        let clean = self.again(&Plan::default());
        let is_good = clean.end == End::Done && self.broken(&clean, &Faulty::new()).is_none();
        is_good.then(|| clean.shared.with(|state| state.trace.clone()))
    }

    /// Makes the kept runs again, with those of their faults whose sites the scenario still reaches. Refuses a run of which no
    /// fault is left.
    pub(super) fn regressions(&mut self) -> Found {
        for (place, case) in self.kept.cases() {
            self.learn_the_usual();
            let finished = self.plan(&case)?;
            if let Some((site, fault)) = case.faults.first().filter(|_| finished.fired.is_empty()) {
                let what = format!(
                    "nothing goes wrong any more in the run of {place}, which does not come to \"{fault} {site}\": has the \
                     workflow changed? Then delete the line"
                );
                return Err(vacuous(what, &finished, &case));
            }
        }
        Ok(())
    }

    /// Makes a run without faults, and one for each plan. Returns the plans.
    pub(super) fn plans(&mut self, faults: &Faults) -> Result<Vec<Faulty>, Box<Failure>> {
        let clean = self.planned(&Faulty::new(), Choices::boring())?;
        self.must_have_run(&clean)?;
        self.usual = Some(Usual::of(&clean));
        let mut plans = vec![Faulty::new()];
        for fault in faults.at(&clean.seen, None) {
            let plan = vec![fault];
            let first = self.planned(&plan, Choices::boring())?;
            let repeats = plan
                .iter()
                .any(|(site, fault)| faults.repeats(&clean.seen, site, *fault));
            if faults.are_pairs() && !repeats {
                self.pairs(&plan, &first, faults)?;
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Checks that the run without faults ran a handler or ended a run, and that it is the same when it is made again.
    fn must_have_run(&self, clean: &Finished<S>) -> Found {
        let (ran, ended) = clean.shared.with(|state| {
            let mut runs = state.facts.runs.values();
            let ended = runs.any(|run| run.status == Some(Status::Success));
            (!state.facts.attempts.is_empty(), ended)
        });
        let broken = match ran || ended {
            true => self.repeat(clean, &Faulty::new()),
            false => Some(Violation::new(
                "NothingRan",
                "no handler ran, though nothing went wrong: has a consumer the tasks and operations that are asked for?",
            )),
        };
        match broken {
            Some(broken) => Err(Box::new(Failure::new(broken, clean))),
            None => Ok(()),
        }
    }

    /// Makes a run for each second fault, at each site that a run reaches after its first fault.
    fn pairs(&mut self, plan: &Faulty, first: &Finished<S>, faults: &Faults) -> Found {
        let fired = first.fired.first().map(|(site, _)| site);
        let seconds = faults.at(&first.seen, fired).into_iter();
        let seconds = seconds.filter(|(site, fault)| !faults.repeats(&first.seen, site, *fault));
        for second in seconds {
            let both = [plan.clone(), vec![second]].concat();
            self.planned(&both, Choices::boring())?;
        }
        Ok(())
    }

    /// Makes a run for each order, with each of the plans.
    pub(super) fn every_order(&mut self, plans: &[Faulty], departures: u32) -> Found {
        for plan in plans {
            let mut next = Some(Vec::new());
            while let Some(picks) = next {
                // In another order the run may not reach the site of a fault.
                let trouble = FaultPlan::planned(plan);
                let finished = self.run(trouble, Choices::Bounded(picks, departures));
                self.judge(&finished, &Faulty::new())?;
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
            self.judge(&finished, &Faulty::new())?;
        }
        Ok(())
    }

    /// Makes a run in which every planned fault must happen.
    fn planned(&mut self, plan: &Faulty, choices: Choices) -> Result<Finished<S>, Box<Failure>> {
        let finished = self.run(FaultPlan::planned(plan), choices);
        self.judge(&finished, plan)?;
        Ok(finished)
    }

    fn run(&mut self, trouble: FaultPlan, choices: Choices) -> Finished<S> {
        let finished = quietly(|| self.scenario.run(trouble, choices));
        let report = &mut self.report;
        report.runs += 1;
        report.steps += finished.steps;
        report.virtual_time += finished.elapsed;
        let hash = finished.shared.with(|state| state.trace.hash());
        report.trace_hash = report.trace_hash.rotate_left(5) ^ hash;
        finished
    }

    fn judge(&self, finished: &Finished<S>, plan: &Faulty) -> Found {
        let usual = self.usual.as_ref();
        if let Some(differs) = usual.and_then(|usual| usual.begins_otherwise(finished)) {
            return Err(Box::new(Failure::new(differs, finished)));
        }
        let Some(broken) = self.broken(finished, plan) else {
            return Ok(());
        };
        if let Some(differs) = self.repeat(finished, plan) {
            return Err(Box::new(Failure::new(differs, finished)));
        }
        if broken.invariant == "NotVacuous" {
            let mut case = finished.case();
            case.faults.clone_from(plan);
            return Err(vacuous(broken.what, finished, &case));
        }
        let found = finished.case();
        let known = self.kept.has(&found);
        // At once, because the shrinking that follows may be stopped.
        self.kept.keep(&found, None);
        let mut smallest = None;
        let (small, runs) = shrink(found.clone(), &mut |case| {
            let again = self.again(case);
            let same = self.broken(&again, &Faulty::new());
            let same = same.filter(|other| other.invariant == broken.invariant);
            let fails = same.is_some();
            smallest = same
                .map(|broken| Failure::new(broken, &again))
                .or(smallest.take());
            fails
        });
        let saved = self.kept.keep(&small, Some(&found).filter(|_| !known));
        let failure = smallest.unwrap_or_else(|| Failure::new(broken, finished));
        Err(Box::new(failure.shrunk(&found, runs).saved_in(saved)))
    }

    fn broken(&self, finished: &Finished<S>, plan: &Faulty) -> Option<Violation> {
        self.scenario.heartbeat.begin("the check of the run");
        let broken = quietly(|| invariants::judge(finished, plan, self.check));
        let broken = broken.or_else(|| self.usual.as_ref()?.ends_otherwise(finished));
        broken.or_else(|| invariants::judge_the_rest(finished))
    }

    fn again(&self, case: &Plan) -> Finished<S> {
        let choices = Choices::Replay(case.picks.clone());
        quietly(|| self.scenario.run(FaultPlan::planned(&case.faults), choices))
    }

    /// Makes a run again, and says where it differs.
    fn repeat(&self, finished: &Finished<S>, plan: &Faulty) -> Option<Violation> {
        let mut case = finished.case();
        // A planned fault that did not happen may happen the second time.
        if !plan.is_empty() {
            case.faults.clone_from(plan);
        }
        let again = self.again(&case);
        differs_from(finished, &again)
    }
}

/// A run that is not as it was planned.
fn vacuous<S>(what: String, finished: &Finished<S>, case: &Plan) -> Box<Failure> {
    let failure = Failure::new(Violation::new("NotVacuous", what), finished);
    Box::new(failure.planned(case.clone()))
}

/// Some of the kinds of faults, drawn.
fn swarm(faults: &Faults, mut seed: u64) -> FaultPlan {
    let some = choices::next(&mut seed);
    let kinds = faults.kinds().iter().enumerate();
    let kinds = kinds.filter(|(at, _)| (some >> (at % 64)) & 1 == 1);
    let kinds: Vec<Fault> = kinds.map(|(_, fault)| *fault).collect();
    if kinds.is_empty() {
        return FaultPlan::Nothing;
    }
    let most = choices::next(&mut seed) % MOST_FAULTS + 1;
    let one_in = [5, 15, 50][usize::try_from(choices::next(&mut seed) % 3).unwrap_or(0)];
    FaultPlan::Random(Swarm {
        seed,
        kinds,
        one_in,
        most: usize::try_from(most).unwrap_or(1),
    })
}
