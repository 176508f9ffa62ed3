//! Healthy tasks beside a hot key, a slow task, retries and a long queue run in time under each fault, and no record is
//! published more often than needed.

use std::time::Duration;

use kser::run::RunId;
use kser::{Context, Entrypoint, IntoTask, RetryPolicy, Status, Step, TaskError};
use kser_testkit::{Faults, Setup, Sim, World};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::any_single_at_first;

const SECOND: Duration = Duration::from_secs(1);

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name {}
        impl Entrypoint for $name {
            const PATH: &'static str = $path;
        }
    };
}

entrypoint!(Quick, "shop.Quick");
entrypoint!(Slow, "shop.Slow");
entrypoint!(Flaky, "shop.Flaky");

fn setups() -> [Setup; 3] {
    [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ]
}

/// Consumers with few places and little room.
fn workers(world: &mut World) {
    let flaky = |ctx: Context, _: Flaky| async move {
        match ctx.attempt() {
            1 => Err(TaskError::temporary("Once", "it rains")),
            _ => Ok(()),
        }
    };
    let often = RetryPolicy::exponential(6, 8 * SECOND);
    world
        .consumers(2)
        .configure(|consumer, _| consumer.with_concurrency(2).with_buffer(6, 1_000_000))
        .task(|_: Quick| sleep(SECOND))
        .task(|_: Slow| sleep(40 * SECOND))
        .task(flaky.into_task().with_retry(often));
}

fn crowd(world: &mut World) -> RunId {
    workers(world);
    for _ in 0..3 {
        world.send_with_key(Quick {}, "hot");
    }
    world.send(Slow {});
    world.send(Flaky {});
    world.send(Quick {});
    world.launch_steps("shop.Job", vec![Step::new(Quick {})])
}

#[test]
fn healthy_work_in_a_crowd_is_done_in_time_whatever_goes_wrong() {
    for setup in setups() {
        let sim = Sim::new(crowd).on(setup).faults(any_single_at_first());
        let report = sim.check(|run| {
            run.assert_succeeded(run.state);
            for (id, status) in run.tasks() {
                assert_eq!(status, Status::Success, "{id}");
            }
        });
        assert!(report.runs > 150, "{report:?}");
    }
}

/// Records wait for longer than a sweep is patient.
#[test]
fn a_long_queue_is_published_once() {
    for setup in setups() {
        let sim = Sim::new(|world| {
            let consumers = world.consumers(1).task(|_: Slow| sleep(40 * SECOND));
            consumers.configure(|consumer, _| consumer.with_concurrency(2));
            for _ in 0..8 {
                world.launch_steps("shop.Job", vec![Step::new(Slow {}); 2]);
            }
        });
        sim.on(setup).random(5).check(|run| {
            let ends = run.runs().into_iter().map(|(_, status)| status);
            assert!(ends.eq([Some(Status::Success); 8]));
        });
    }
}

/// The caller of a verb gives up while the broker does not answer: the end is announced all the same.
#[test]
fn the_end_by_a_verb_is_announced_whatever_goes_wrong() {
    let sim = Sim::new(|world| {
        world.consumers(2).task(|_: Slow| sleep(10 * SECOND));
        let run = world.launch_steps("shop.Job", vec![Step::new(Slow {}); 2]);
        let id = run.clone();
        world.client(move |kser| async move {
            sleep(SECOND).await;
            let _ = timeout(5 * SECOND, kser.runs().cancel(&id)).await;
            Ok(())
        });
        run
    });
    let report = sim.faults(Faults::any_single()).check(|run| {
        let status = run.status(run.state);
        assert!(status.is_some_and(Status::is_terminal), "{status:?}");
    });
    assert!(report.runs > 100, "{report:?}");
}
