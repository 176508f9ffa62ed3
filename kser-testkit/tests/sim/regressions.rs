//! What the sweeps have found in kser, kept from coming back.

use std::time::Duration;

use kser::{Entrypoint, Step};
use kser_testkit::{Setup, Sim};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("diary.Note")]
struct Note {}

async fn write(_: Note) {}

/// A suspect whose begin could not be noted was given back, and what was behind it ran first.
#[test]
fn a_suspect_that_cannot_begin_keeps_the_order_of_its_key() {
    for setup in [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ] {
        for lost in ["unknown", "reject"] {
            let sim = Sim::new(|world| {
                world.consumers(1).task(write);
                [1, 2].map(|_| world.send_with_key(Note {}, "one key"))
            });
            let faults = "crash after Note#1/receive/1; crash after Note#1/receive/2";
            let plan = format!("v1 | {faults}; {lost} Note#1/begin/1 |");
            let report = sim.on(setup.clone()).replay(plan).check(|_| {});
            assert_eq!(report.runs, 1);
        }
    }
}

/// A renewal whose answer was lost left a version behind that made the next one follow at once, without end, for as long
/// as the store refused.
#[test]
fn a_lease_that_cannot_be_renewed_is_not_tried_without_end() {
    let sim = Sim::new(|world| {
        let slow = |_: Note| tokio::time::sleep(Duration::from_secs(60));
        world.consumers(1).task(slow);
        world.launch_steps("diary.Day", vec![Step::new(Note {})])
    });
    let renew = "Day#1/1.Note/renew";
    let plan = format!("v1 | unknown {renew}/1; outage that fails from {renew}/2 |");
    let report = sim
        .replay(plan)
        .check(|run| run.assert_succeeded(run.state));
    assert!(report.steps < 100, "{report:?}");
}
