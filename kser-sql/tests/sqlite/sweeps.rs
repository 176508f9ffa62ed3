//! Every fault of the test kit at every call of an operation, on real files.

use std::cell::RefCell;

use kser::{Context, Entrypoint, Step, TaskError};
use kser_sql::SqliteStore;
use kser_testkit::{Effects, Faults, Run, Setup, Sim, SimClock};
use serde::{Deserialize, Serialize};

use crate::file::File;

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        struct $name {}
    };
}

entrypoint!(Checkout, "shop.Checkout");
entrypoint!(Pickup, "shop.Pickup");
entrypoint!(Reserve, "shop.Reserve");
entrypoint!(Charge, "shop.Charge");
entrypoint!(Ship, "shop.Ship");

type Shop = (kser::run::RunId, Effects);

thread_local! {
    /// The file of the run that is made on this thread.
    static FILE: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Opens a store on a new file, and removes that of the run before.
async fn new_store(clock: SimClock) -> Result<SqliteStore, kser::Error> {
    let file = File::new();
    let path = file.path().clone();
    FILE.set(Some(file));
    SqliteStore::open_with_clock(path, clock).await
}

/// Two consumers of a shop, and an order that is sent, or one that is paid already and picked up.
fn shop<P: Entrypoint + Clone>(order: P) -> Sim<Shop> {
    let sim = Sim::new(move |world| {
        let shop = world.effects("shop");
        let task = |what: &'static str| {
            let shop = shop.clone();
            move |ctx: Context| {
                let call = shop.call(what).with_key(ctx.idempotency_key());
                async move {
                    call.await?;
                    Ok::<_, TaskError>(what.to_owned())
                }
            }
        };
        let (reserve, charge, ship) = (task("reserve"), task("charge"), task("ship"));
        world
            .consumers(2)
            .operation(async |_: Checkout| {
                let (reserve, charge) = (Step::new(Reserve {}), Step::new(Charge {}));
                Ok::<_, TaskError>(vec![reserve, charge, Step::new(Ship {})])
            })
            .operation(async |_: Pickup| {
                Ok::<_, TaskError>(vec![Step::new(Reserve {}), Step::new(Ship {})])
            })
            .task(move |ctx: Context, _: Reserve| reserve(ctx))
            .task(move |ctx: Context, _: Charge| charge(ctx))
            .task(move |ctx: Context, _: Ship| ship(ctx));
        (world.launch(order.clone()), shop)
    });
    sim.on(Setup::stored_in(new_store))
}

fn is_done(run: &Run<'_, Shop>, steps: &[&str]) {
    let (order, shop) = run.state;
    run.assert_succeeded(order);
    shop.assert_exactly_once(steps.iter().copied());
}

#[test]
fn any_single_fault_is_survived() {
    let sim = shop(Checkout {}).faults(Faults::any_single());
    let report = sim.check(|run| is_done(run, &["reserve", "charge", "ship"]));
    assert!(report.runs > 200, "{report:?}");
}

#[test]
fn any_two_crashes_are_survived() {
    let (sim, pairs) = (shop(Pickup {}), Faults::any_two_crashes());
    // Each run waits for the disk: all pairs take about a minute.
    let sim = match std::env::var_os("KSER_LONG_SWEEPS") {
        Some(_) => sim.faults(pairs),
        None => sim.faults(pairs.only_drawn()).random(150),
    };
    let report = sim.check(|run| is_done(run, &["reserve", "ship"]));
    assert!(report.runs >= 150, "{report:?}");
}

#[test]
fn a_run_is_the_same_each_time() {
    let trace = || {
        let trace = RefCell::default();
        shop(Checkout {}).check(|run| {
            trace.replace(run.trace().to_string());
        });
        trace.into_inner()
    };
    let first = trace();
    assert!(first.contains("1.Reserve"), "{first}");
    assert_eq!(first, trace());
}
