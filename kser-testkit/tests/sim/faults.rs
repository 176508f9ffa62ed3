//! kser itself: a workflow that uses its idempotency keys survives whatever goes wrong, in every row of the promises.

use std::sync::atomic::{AtomicBool, Ordering};

use kser::Status;
use kser_testkit::faults::{Fault, Kind};
use kser_testkit::{Effects, Faults, Run, Setup, Sim};

use crate::shop::{Checkout, Pickup, STEPS, handlers};
use crate::sweeps_are_long;

type Shop = (kser::run::RunId, Effects);

fn shop(with_key: bool) -> Sim<Shop> {
    Sim::new(move |world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, with_key);
        (world.launch(Checkout { order: 42 }), shop)
    })
}

/// A shop that tries two crashes: in an order of two steps, or in a long sweep in the order of three.
fn shop_of_two_crashes(setup: Setup) -> kser_testkit::Report {
    let shop = Sim::new(move |world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, true);
        let order = 42;
        let run = match sweeps_are_long() {
            true => world.launch(Checkout { order }),
            false => world.launch(Pickup { order }),
        };
        (run, shop)
    });
    let sim = shop.on(setup).faults(Faults::any_two_crashes());
    sim.check(|run| {
        let (order, shop) = run.state;
        run.assert_succeeded(order);
        match sweeps_are_long() {
            true => shop.assert_exactly_once(STEPS),
            false => shop.assert_exactly_once(["reserve", "ship"]),
        }
    })
}

fn is_done(run: &Run<'_, Shop>) {
    let (checkout, shop) = run.state;
    run.assert_succeeded(checkout);
    shop.assert_exactly_once(STEPS);
}

#[test]
fn stored_any_single_fault_is_survived() {
    let report = shop(true)
        .on(Setup::stored())
        .faults(Faults::any_single())
        .check(is_done);
    assert!(report.runs > 200, "{report:?}");
}

#[test]
fn carried_exactly_once_any_single_fault_is_survived() {
    let report = shop(true)
        .on(Setup::exactly_once())
        .faults(Faults::any_single())
        .check(is_done);
    assert!(report.runs > 120, "{report:?}");
}

#[test]
fn carried_at_least_once_any_single_fault_is_survived() {
    let report = shop(true)
        .on(Setup::at_least_once())
        .faults(Faults::any_single())
        .check(is_done);
    assert!(report.runs > 170, "{report:?}");
}

/// Members of both kinds take partitions, carried messages and their progress over from each other.
#[test]
fn carried_by_members_of_both_kinds_any_single_fault_is_survived() {
    let kinds = [(); 2].map(|()| AtomicBool::new(false));
    let note = |trace: kser_testkit::Trace| {
        // The trace has the places of the faults.
        for (kind, place) in kinds.iter().zip(["/settle", "/commit"]) {
            kind.fetch_or(trace.has(place), Ordering::Relaxed);
        }
    };
    // The consumer of the one order settles by transactions, and that of the other does not.
    let sim = shop(true).on(Setup::moving_over());
    let report = sim.faults(Faults::any_single()).check(|run| {
        is_done(run);
        note(run.trace());
    });
    assert!(report.runs > 120, "{report:?}");
    let pickup = Sim::new(|world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, true);
        (world.launch(Pickup { order: 42 }), shop)
    });
    let sim = pickup.on(Setup::moving_over());
    let report = sim.faults(Faults::any_single()).check(|run| {
        let (order, shop) = run.state;
        run.assert_succeeded(order);
        shop.assert_exactly_once(["reserve", "ship"]);
        note(run.trace());
    });
    assert!(report.runs > 100, "{report:?}");
    let kinds = kinds.map(AtomicBool::into_inner);
    assert_eq!(kinds, [true, true], "there are members of both kinds");
}

#[test]
fn carried_by_members_of_both_kinds_any_two_crashes_are_survived() {
    let report = shop_of_two_crashes(Setup::moving_over());
    assert!(report.runs > 150, "{report:?}");
}

#[test]
fn stored_any_two_crashes_are_survived() {
    let report = shop_of_two_crashes(Setup::stored());
    assert!(report.runs > 600, "{report:?}");
}

#[test]
fn carried_exactly_once_any_two_crashes_are_survived() {
    let report = shop_of_two_crashes(Setup::exactly_once());
    assert!(report.runs > 150, "{report:?}");
}

#[test]
fn carried_at_least_once_any_two_crashes_are_survived() {
    let report = shop_of_two_crashes(Setup::at_least_once());
    assert!(report.runs > 400, "{report:?}");
}

#[test]
fn whatever_goes_wrong_here_and_there_is_survived() {
    for setup in [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
        Setup::moving_over(),
    ] {
        let sim = shop(true)
            .on(setup)
            .faults(Faults::any_single().only_drawn())
            .random(if sweeps_are_long() { 150 } else { 50 });
        sim.check(|run| assert!(run.status(&run.state.0).is_some_and(Status::is_terminal)));
    }
}

#[test]
fn every_fault_happens_somewhere() {
    use Kind::{
        Await, Begin, Close, Commit, Effect, Publish, Read, Receive, Settle, Subscribe, Write,
    };
    let kinds = [
        Subscribe, Receive, Publish, Settle, Commit, Begin, Close, Read, Write, Effect, Await,
    ];
    for fault in Fault::all() {
        assert!(kinds.iter().any(|kind| fault.fits(*kind)), "{fault}");
    }
}

#[test]
fn of_twelve_faults_the_cause_is_left() {
    let faults = [
        "delay Checkout#1/build/receive/1",
        "rebalance at Checkout#1/build/start/1",
        "reject Checkout#1/build/end/1",
        "unknown Checkout#1/build/end/2",
        "duplicate Checkout#1/1.Reserve/receive/1",
        "unknown Checkout#1/1.Reserve/start/1",
        "join at Checkout#1/1.Reserve/end/1",
        "hang Checkout#1/1.Reserve/publish/1",
        "leave at Checkout#1/2.Charge/receive/1",
        "crash after Checkout#1/2.Charge/shop.charge/1",
        "freeze at Checkout#1/2.Charge/end/1",
        "crash all at Checkout#1/3.Ship/start/1",
    ];
    let failed = shop(false).replay(format!("v1 | {} | 0 0 1 0 1", faults.join("; ")));
    let failed = failed.try_check(|_| {}).unwrap_err();
    let shown = failed.to_string();
    assert_eq!(failed.invariant(), "EffectOnce", "{shown}");
    assert_eq!(failed.plan().len(), 1, "{shown}");
    assert!(shown.contains("left out in"), "{shown}");
}
