use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::by_hand::ByHand;
use super::driver::Driver;
use super::finished::Finished;
use super::idle::Idle;
use super::process::Host;
use super::sites::FaultPlan;
use super::state::Shared;
use super::store::in_memory;
use super::{Setup, World};
use crate::choices::{Choices, DecisionTape};
use crate::heartbeat::Heartbeat;

/// A scenario, and the settings that all of its runs share.
pub(crate) struct Scenario<'s, S> {
    pub(crate) make: &'s dyn Fn(&mut World) -> S,
    pub(crate) setup: Setup,
    pub(crate) heal_within: Duration,
    pub(crate) heartbeat: Heartbeat,
}

impl<S> Scenario<'_, S> {
    /// Makes one run, on a runtime of its own.
    pub(crate) fn run(&self, trouble: FaultPlan, choices: Choices) -> Finished<S> {
        let (runtime, idle) = runtime(&self.heartbeat);
        runtime.block_on(self.run_here(idle, trouble, choices))
    }

    /// Makes one run that a test leads by hand.
    pub(crate) fn by_hand(&self) -> ByHand<S> {
        let (runtime, idle) = runtime(&self.heartbeat);
        let begun = {
            let begun = self.begin(idle, FaultPlan::Nothing, Choices::boring());
            runtime.block_on(begun)
        };
        let Begun {
            shared,
            state,
            mut driver,
            ..
        } = begun;
        driver.restart = None;
        ByHand {
            runtime,
            driver,
            state,
            shared,
            end: None,
        }
    }

    #[expect(
        clippy::future_not_send,
        reason = "a run stays on the thread of its test"
    )]
    async fn begin(&self, idle: Idle, trouble: FaultPlan, choices: Choices) -> Begun<S> {
        self.heartbeat.begin_run();
        let shared = Shared::new(self.setup.clone(), idle, true);
        let mut world = World::new(shared.clone(), self.setup.clone());
        let state = (self.make)(&mut world);
        let repeatable = world.repeatable.clone();
        world.must_do_something();
        let tasks = world.tasks();
        shared.with(|state| {
            state.sites.trouble(trouble);
            state.facts.watched = tasks;
            state.heartbeat = self.heartbeat.clone();
        });
        let rows = match self.setup.open_store(*shared.clock()).await {
            Some(store) => store,
            None => Arc::new(in_memory(&shared)),
        };
        let place = Host {
            shared: shared.clone(),
            rows,
            guarantee: self.setup.guarantee,
        };
        let driver = Driver::new(place, world, DecisionTape::new(choices), self.heal_within);
        Begun {
            shared,
            state,
            driver,
            repeatable,
        }
    }

    #[expect(
        clippy::future_not_send,
        reason = "a run stays on the thread of its test"
    )]
    async fn run_here(&self, idle: Idle, trouble: FaultPlan, choices: Choices) -> Finished<S> {
        let begun = self.begin(idle, trouble, choices).await;
        let (shared, mut driver) = (begun.shared, begun.driver);
        let end = driver.drive().await;
        let leaked = driver.end().await;
        let elapsed = shared.clock().elapsed();
        let (seen, fired) = shared.with(|state| {
            let sites = &mut state.sites;
            (sites.take_seen(), sites.fired().to_vec())
        });
        Finished {
            state: begun.state,
            shared,
            seen,
            fired,
            end,
            tape: driver.tape,
            steps: driver.steps,
            elapsed,
            repeatable: begun.repeatable,
            leaked,
        }
    }
}

/// A run that has begun.
struct Begun<S> {
    shared: Shared,
    state: S,
    driver: Driver,
    repeatable: Vec<Arc<str>>,
}

/// A runtime on paused time, which says when nothing in it can run. It has no I/O: that has no place in a simulation. Each
/// time that nothing can run counts as a beat, because long waits pass without a step of the driver.
fn runtime(heartbeat: &Heartbeat) -> (Runtime, Idle) {
    let idle = Idle::default();
    let (parking, heartbeat) = (idle.clone(), heartbeat.clone());
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || {
            heartbeat.beat();
            parking.parking();
        })
        .build();
    (runtime.expect("a runtime can be made"), idle)
}

#[cfg(test)]
mod tests {
    use kser::Entrypoint;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, Entrypoint)]
    #[entrypoint("shop.Work")]
    struct Work {}

    #[test]
    fn a_wait_in_many_small_steps_is_progress() {
        let make = |world: &mut World| {
            world.consumers(1).task(|_: Work| async {});
            world.client(|_| async {
                for _ in 0..1000 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(())
            });
        };
        let scenario = Scenario {
            make: &make,
            setup: Setup::at_least_once(),
            heal_within: Duration::from_secs(3600),
            heartbeat: Heartbeat::default(),
        };
        let run = scenario.run(FaultPlan::Nothing, Choices::boring());
        assert!(run.steps < 100, "{}", run.steps);
        let beats = scenario.heartbeat.beats();
        assert!(beats > 1000, "{beats}");
    }
}
