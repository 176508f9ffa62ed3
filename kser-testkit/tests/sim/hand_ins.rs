//! Deliveries that are handed in together: crashes before, inside and after a batch, and a batch of which one is refused.

use std::time::Duration;

use kser::run::RunId;
use kser::{Entrypoint, Step, TaskError};
use kser_testkit::faults::Fault;
use kser_testkit::{Faults, Setup, Sim, World};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Order")]
struct Order {}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Pack")]
struct Pack {}

const BATCH: &str = "settles a batch of";

fn setups() -> [Setup; 3] {
    [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ]
}

/// Three orders that one consumer works on side by side, and whose tasks end at once.
fn orders(world: &mut World) -> [RunId; 3] {
    let order = |_: Order| async { Ok::<_, TaskError>(vec![Step::new(Pack {})]) };
    let pack = |_: Pack| sleep(Duration::from_secs(1));
    world.consumers(1).operation(order).task(pack);
    [(); 3].map(|()| world.launch(Order {}))
}

#[test]
fn a_crash_at_each_place_of_a_batch_loses_nothing() {
    for setup in setups() {
        for calls in 0.. {
            let sim = Sim::new(orders).on(setup.clone());
            let mut run = sim.by_hand();
            run.run_until(BATCH);
            let steps: Vec<_> = (0..calls).map(|_| run.step()).collect();
            run.crash("c1");
            run.restart("c1");
            run.finish();
            for id in run.state() {
                run.run().assert_succeeded(id);
            }
            // The last one is behind the batch.
            if (steps.iter()).any(|step| step.is_empty() || step.contains(BATCH)) {
                assert!(calls > 2, "the batch was over after {calls} calls");
                break;
            }
        }
    }
}

#[test]
fn batches_are_settled_under_each_fault_of_their_calls() {
    let faults = [
        Fault::Reject,
        Fault::Unknown,
        Fault::Partial,
        Fault::CrashBefore,
        Fault::CrashAfter,
    ];
    for setup in setups() {
        let sim = Sim::new(orders).on(setup).faults(Faults::single(faults));
        sim.check(|run| {
            for id in run.state {
                run.assert_succeeded(id);
            }
        });
    }
}
