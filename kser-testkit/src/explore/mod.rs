//! The search over the runs of a scenario, and the checks of each run.

mod kept;
mod report;
mod search;
mod shrink;
mod usual;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::runtime::Handle;

use self::kept::Kept;
pub use self::report::Report;
use self::search::Search;
use crate::choices::Choices;
use crate::environment;
use crate::failure::Failure;
use crate::faults::{Fault, Faults, Site};
use crate::heartbeat::Heartbeat;
use crate::plan::Plan;
use crate::quiet::quietly;
use crate::sim::{ByHand, FaultPlan, Run, Scenario, Setup, World};
use crate::watchdog::Watchdog;

/// A scenario that is run many times, each time with other faults.
///
/// It is synchronous, and makes a runtime of its own for each run: use it from a plain `#[test]`.
#[must_use = "nothing is run until it is checked"]
pub struct Sim<S> {
    make: Box<dyn Fn(&mut World) -> S>,
    setup: Setup,
    faults: Faults,
    departures: Option<u32>,
    random: usize,
    seed: u64,
    replay: Option<Plan>,
    plan: Option<Plan>,
    heal_within: Duration,
}

impl<S> Sim<S> {
    /// Describes a scenario. The closure is called for every run, and its return value is given to the check.
    pub fn new(make: impl Fn(&mut World) -> S + 'static) -> Self {
        Self {
            make: Box::new(make),
            setup: Setup::default(),
            faults: Faults::default(),
            departures: None,
            random: 0,
            seed: 0,
            replay: None,
            plan: None,
            heal_within: Duration::from_secs(3600),
        }
    }

    /// Says where states live and how the transport settles; [`Setup::stored`] unless set.
    pub fn on(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    /// Sets the faults; none unless set. Each fault is tried in a run of its own, beside one run without faults.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Tries every order of events that departs from the usual one at most `departures` times in a run, with and without each of
    /// the faults. The usual order is that one process goes on as long as it can. The number of runs grows fast: 1 or 2 find most
    /// mistakes.
    pub const fn every_order(mut self, departures: u32) -> Self {
        self.departures = Some(departures);
        self
    }

    /// Makes this many more runs, in each of which the order is drawn, and some of the faults, here and there.
    pub const fn random(mut self, runs: usize) -> Self {
        self.random = runs;
        self
    }

    /// Draws from this seed; 0 unless set.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes one run only, as a failure wrote it down. It has to go as it was written: every fault happens, and every
    /// decision is asked for.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[track_caller]
    pub fn replay(mut self, run: impl AsRef<str>) -> Self {
        let run: Result<Plan, String> = run.as_ref().parse();
        self.replay = Some(run.unwrap_or_else(|error| panic!("{error}")));
        self
    }

    /// Makes one run only, of a plan such as one that was drawn. Faults whose site the run does not reach do not happen.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Lists the sites of the run without faults, each with a fault that can happen there. Plans are drawn from the list.
    ///
    /// # Panics
    ///
    /// Inside a tokio runtime.
    #[track_caller]
    pub fn sites(&self) -> Vec<(Site, Fault)> {
        let watchdog = Watchdog::start();
        let scenario = self.scenario(watchdog.heartbeat());
        let clean = quietly(|| scenario.run(FaultPlan::Nothing, Choices::boring()));
        Faults::any_single().at(&clean.seen, None)
    }

    /// Gives a run this long to end, in the time of the simulation; 1 hour unless set.
    pub const fn heal_within(mut self, limit: Duration) -> Self {
        self.heal_within = limit;
        self
    }

    /// Makes the runs, and checks each: the invariants of every run, and the assertions of the closure. The first run that fails
    /// is made smaller, and kept in `tests/kser-regressions/<crate>-<module>-<test>.txt`: it is made first the next time.
    ///
    /// `KSER_TESTKIT_REPLAY` has one run made only, as a failure wrote it down; `KSER_TESTKIT_RUNS` and
    /// `KSER_TESTKIT_SEED` take the place of [`random`](Self::random), if there is one, and [`seed`](Self::seed), of which
    /// `random` is another each time; `KSER_TESTKIT_TRACE=full` shows all of a run that failed.
    ///
    /// # Panics
    ///
    /// If an invariant or an assertion does not hold, with all that is needed to find out why, and with the feature `html` with the
    /// file that has a picture of the run; if the scenario cannot be made, a
    /// line of that file cannot be read, or one of the variables makes no sense.
    #[track_caller]
    pub fn check(mut self, check: impl Fn(&Run<'_, S>)) -> Report {
        if let Some(run) = environment::text("KSER_TESTKIT_REPLAY") {
            let run: Result<Plan, String> = run.parse();
            self.replay = Some(run.unwrap_or_else(|error| panic!("KSER_TESTKIT_REPLAY: {error}")));
        }
        match self.search(&check, Kept::of_this_test()) {
            Ok(report) => report,
            #[cfg(feature = "html")]
            Err(failure) => panic!("{}", failure.written()),
            #[cfg(not(feature = "html"))]
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Makes the runs, and checks each, as [`check`](Self::check) does. Nothing is kept.
    ///
    /// # Errors
    ///
    /// The first run in which an invariant or an assertion does not hold.
    ///
    /// # Panics
    ///
    /// When the scenario cannot be made.
    #[track_caller]
    pub fn try_check(self, check: impl Fn(&Run<'_, S>)) -> Result<Report, Box<Failure>> {
        self.search(&check, Kept::nothing())
    }

    /// Begins one run in which nothing goes wrong by itself, and that the test leads by hand.
    ///
    /// # Panics
    ///
    /// Inside a tokio runtime.
    #[must_use]
    #[track_caller]
    pub fn by_hand(self) -> ByHand<S> {
        // No watchdog, because a test may take its time between two steps.
        self.scenario(Heartbeat::default()).by_hand()
    }

    #[track_caller]
    fn scenario(&self, heartbeat: Heartbeat) -> Scenario<'_, S> {
        assert!(
            Handle::try_current().is_err(),
            "a simulation makes a runtime of its own for each run, and cannot do so inside another: use it from a plain \
             `#[test] fn`, not from `#[tokio::test] async fn`"
        );
        Scenario {
            make: &*self.make,
            setup: self.setup.clone(),
            heal_within: self.heal_within,
            heartbeat,
        }
    }

    #[track_caller]
    fn search(self, check: &dyn Fn(&Run<'_, S>), kept: Kept) -> Result<Report, Box<Failure>> {
        let watchdog = Watchdog::start();
        let scenario = self.scenario(watchdog.heartbeat());
        let mut search = Search::new(&scenario, check, kept);
        match self.explore(&mut search) {
            Ok(()) => Ok(search.report),
            #[cfg(feature = "html")]
            Err(failure) => Err(Box::new(failure.beside(search.good()))),
            #[cfg(not(feature = "html"))]
            Err(failure) => Err(failure),
        }
    }

    /// Makes the runs, until one fails.
    #[track_caller]
    fn explore(&self, search: &mut Search<'_, S>) -> Result<(), Box<Failure>> {
        if let Some(case) = &self.replay {
            return search.replay(case);
        }
        if let Some(plan) = &self.plan {
            return search.plan(plan).map(drop);
        }
        search.regressions()?;
        let plans = search.plans(&self.faults)?;
        if let Some(most) = self.departures {
            search.every_order(&plans, most)?;
        }
        let runs = match self.random {
            0 => 0,
            runs => environment::number("KSER_TESTKIT_RUNS")
                .map_or(runs, |runs| usize::try_from(runs).unwrap_or(usize::MAX)),
        };
        search.random(runs, seed(self.seed), &self.faults)
    }
}

/// The seed that the environment sets, or this one.
#[track_caller]
fn seed(unless: u64) -> u64 {
    match environment::text("KSER_TESTKIT_SEED").as_deref() {
        Some("random") => RandomState::new().hash_one(unless),
        _ => environment::number("KSER_TESTKIT_SEED").unwrap_or(unless),
    }
}

impl<S> fmt::Debug for Sim<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim")
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}
