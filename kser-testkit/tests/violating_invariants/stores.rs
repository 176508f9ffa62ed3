use std::sync::Arc;
use std::time::Duration;

use kser::{Context, Entrypoint};
use kser_testkit::{Setup, Sim, World};
use serde::{Deserialize, Serialize};

use crate::store::{Bad, Flaw};
use crate::workflow::{Work, caught, launch, workers};

/// The workflow, on consumers whose store has a flaw.
fn flawed(flaw: Flaw) -> impl Fn(&mut World) {
    move |world| {
        workers(world).wrap_store(move |inner| Arc::new(Bad { inner, flaw }));
        launch(world);
    }
}

#[test]
fn a_store_that_compares_nothing_is_caught() {
    let caught = caught(Setup::stored(), flawed(Flaw::ComparesNothing));
    assert!(
        [
            "AcceptedOnce",
            "Exclusive",
            "OneTerminal",
            "StatusMonotonic"
        ]
        .contains(&caught),
        "{caught}"
    );
}

#[test]
fn a_store_that_keeps_no_lease_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::KeepsNoLease)),
        "Exclusive"
    );
}

#[test]
fn a_store_whose_time_runs_ahead_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::RunsAhead)),
        "Exclusive"
    );
}

#[test]
fn a_store_that_skips_a_step_is_caught() {
    assert_eq!(caught(Setup::stored(), flawed(Flaw::SkipsAStep)), "NoSkip");
}

#[test]
fn a_store_that_goes_back_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::GoesBack)),
        "StatusMonotonic"
    );
}

#[test]
fn a_store_that_ends_a_run_twice_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::EndsTwice)),
        "OneTerminal"
    );
}

#[test]
fn a_store_that_gives_up_when_it_cannot_know_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::GivesUpWhenInDoubt)),
        "UnknownIsUnknown"
    );
}

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Send")]
struct Send {}

#[test]
fn a_store_that_loses_outputs_is_caught() {
    let make = |world: &mut World| {
        let send = |ctx: Context, _: Send| async move { ctx.send(Work { number: 1 }).map(|_| ()) };
        let bad = |inner| -> Arc<dyn kser_core::StateStore> {
            Arc::new(Bad {
                inner,
                flaw: Flaw::LosesOutputs,
            })
        };
        workers(world).task(send).wrap_store(bad);
        world.launch_steps("shop.Job", vec![kser::Step::new(Send {})]);
    };
    assert_eq!(caught(Setup::stored(), make), "NothingLost");
}

/// What a transport loses after it has said that it is published, the store forgets.
#[test]
fn outputs_that_are_marked_as_relayed_and_lost_are_caught() {
    let make = |world: &mut World| {
        let send = |ctx: Context, _: Send| async move { ctx.send(Work { number: 1 }).map(|_| ()) };
        let bad = |inner| -> Arc<dyn kser_core::Transport> {
            Arc::new(crate::transport::Bad {
                inner,
                flaw: crate::transport::Flaw::LosesOutputs,
            })
        };
        workers(world).task(send).wrap_transport(bad);
        world.launch_steps("shop.Job", vec![kser::Step::new(Send {})]);
    };
    assert_eq!(caught(Setup::stored(), make), "RelayedIsPublished");
}

/// Steps that take longer than a sweep is patient, one after another.
#[test]
fn a_store_that_sweeps_what_merely_waits_is_caught() {
    let make = |flaw: Option<Flaw>| {
        move |world: &mut World| {
            let work = |_: Work| tokio::time::sleep(Duration::from_secs(20));
            let consumers = world.consumers(1).task(work);
            let consumers = consumers.configure(|consumer, _| consumer.with_concurrency(1));
            if let Some(flaw) = flaw {
                consumers.wrap_store(move |inner| Arc::new(Bad { inner, flaw }));
            }
            (0..6).for_each(|_| launch(world));
        }
    };
    let check = |flaw| {
        let sim = Sim::new(make(flaw)).heal_within(Duration::from_secs(7200));
        sim.try_check(|_| {})
    };
    let failure = check(Some(Flaw::SweepsWhatWaits)).unwrap_err();
    assert_eq!(failure.invariant(), "RecordsNeeded", "{failure}");
    check(None).unwrap();
}

#[test]
fn a_store_that_keeps_no_events_is_caught() {
    // A sweep ends the run, and no record asks for its event again.
    let make = |world: &mut World| {
        workers(world).wrap_store(|inner| {
            Arc::new(Bad {
                inner,
                flaw: Flaw::KeepsNoEvents,
            })
        });
        let ask = kser::Step::named("outside.Ask", &serde_json::json!({}));
        let ask = ask.external(Duration::from_secs(60));
        world.launch_steps("shop.Job", vec![kser::Step::new(Work { number: 1 }), ask]);
    };
    assert_eq!(caught(Setup::stored(), make), "EndAnnounced");
}

/// Publishes the records of an attempt that was not accepted.
#[test]
fn a_store_that_says_it_has_written_is_caught() {
    let make = |world: &mut World| {
        let send = |ctx: Context, _: Send| async move { ctx.send(Work { number: 1 }).map(|_| ()) };
        let bad = |inner| -> Arc<dyn kser_core::StateStore> {
            Arc::new(Bad {
                inner,
                flaw: Flaw::SaysWritten,
            })
        };
        workers(world).task(send).wrap_store(bad);
        world.launch_steps("shop.Job", vec![kser::Step::new(Send {})]);
    };
    assert_eq!(caught(Setup::stored(), make), "OutputsAccepted");
}
