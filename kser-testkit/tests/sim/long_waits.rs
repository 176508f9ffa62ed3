//! Waits of more than a day pass in the time of the simulation.

use std::time::Duration;

use kser::{Context, Entrypoint, IntoTask, Step};
use kser_testkit::{Plan, Sim};
use serde::{Deserialize, Serialize};

/// Longer than the 27 hours after which a run was once taken for an endless one.
const LONG: Duration = Duration::from_secs(28 * 3600);

const LEASE: Duration = Duration::from_secs(3600);

/// Longer than [`LONG`].
const LIMIT: Duration = Duration::from_secs(40 * 3600);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {}

impl Entrypoint for Work {
    const PATH: &'static str = "shop.Work";
}

#[test]
fn a_task_that_is_delayed_for_more_than_a_day_runs() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        let at = shop.clone();
        let work = move |ctx: Context, _: Work| {
            let shop = at.clone();
            async move { shop.call("work").with_key(ctx.idempotency_key()).await }
        };
        world.consumers(1).task(work);
        world.client(|kser| async move {
            let send = kser.producer().send(Work {});
            send.with_delay(LONG).await.map(|_| ())
        });
        shop
    });
    let report = sim.heal_within(LIMIT).plan(Plan::default()).check(|run| {
        run.state.assert_exactly_once(["work"]);
        assert!(run.virtual_elapsed() >= LONG);
    });
    // While nothing is due, the consumer does not read the store.
    assert!(report.steps < 200, "{report:?}");
}

#[test]
fn a_handler_that_runs_for_more_than_a_day_ends() {
    let sim = Sim::new(|world| {
        let work = |_: Work| tokio::time::sleep(LONG);
        let work = work.into_task().with_time_limit(LIMIT);
        // A lease is renewed all the time: with the default of 30 seconds that is 10,000 times.
        world
            .consumers(1)
            .configure(|consumer, _| consumer.with_lease_duration(LEASE))
            .task(work);
        world.launch_steps("shop.Job", vec![Step::new(Work {})])
    });
    let sim = sim.heal_within(LIMIT).plan(Plan::default());
    sim.check(|run| run.assert_succeeded(run.state));
}

/// The calls of one hour are counted, whenever they come.
#[test]
fn a_run_that_goes_on_and_on_after_a_day_is_caught() {
    let sim = Sim::new(|world| {
        world.consumers(1).task(|_: Work| async {});
        world.client(|kser| async move {
            tokio::time::sleep(LONG).await;
            loop {
                let _ = kser.runs().status(&"nobody".into()).await;
            }
        });
    });
    let sim = sim.heal_within(LIMIT).plan(Plan::default());
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "NoLivelock", "{failure}");
}
