//! What the sweeps have found in kser, kept from coming back.

use kser::Entrypoint;
use kser_testkit::{Setup, Sim};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Note {}

impl Entrypoint for Note {
    const PATH: &'static str = "diary.Note";
}

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
