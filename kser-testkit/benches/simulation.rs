//! How many simulated runs a second: an operation of three steps, two consumers, the real consumer code.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time of the machine"
)]

use std::time::{Duration, Instant};

use kser::run::RunId;
use kser::{Context, Entrypoint, Step, TaskError};
use kser_testkit::{Effects, Faults, Report, Setup, Sim};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Checkout")]
struct Checkout {}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {}

async fn checkout(_: Checkout) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(Charge {}); 3])
}

fn shop() -> Sim<RunId> {
    Sim::new(|world| {
        let bank = world.effects("bank");
        let charge = move |ctx: Context, _: Charge| charge(bank.clone(), ctx);
        world.consumers(2).operation(checkout).task(charge);
        world.launch(Checkout {})
    })
}

async fn charge(bank: Effects, ctx: Context) -> Result<(), TaskError> {
    bank.call("charge").with_key(ctx.idempotency_key()).await
}

fn main() {
    for (name, setup) in [
        ("stored", Setup::stored()),
        ("exactly once", Setup::exactly_once()),
        ("at least once", Setup::at_least_once()),
    ] {
        println!("{name}:");
        let measured = |what: &str, sim: Sim<RunId>| {
            let began = Instant::now();
            let report = sim
                .on(setup.clone())
                .check(|run| assert!(run.status(run.state).is_some()));
            tell(what, &report, began.elapsed());
        };
        measured("random order", shop().random(2000));
        measured(
            "random order and crashes",
            shop().faults(Faults::any_single_crash()).random(2000),
        );
        measured(
            "every single crash",
            shop().faults(Faults::any_single_crash()),
        );
        measured("every single fault", shop().faults(Faults::any_single()));
        measured(
            "every two crashes",
            shop().faults(Faults::any_two_crashes()),
        );
        measured("every order, 2 departures", shop().every_order(2));
    }
}

fn tell(what: &str, report: &Report, took: Duration) {
    let rate = report.runs as f64 / took.as_secs_f64();
    let (runs, steps) = (report.runs, report.steps);
    println!("  {what:<26} {runs:>6} runs, {steps:>8} steps in {took:>8.2?}: {rate:>7.0} runs/s");
}
