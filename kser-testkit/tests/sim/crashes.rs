use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use kser::{Context, Step};
use kser_testkit::faults::Fault;
use kser_testkit::{Faults, Setup, Sim};

use crate::shop::{Charge, Checkout, STEPS, handlers};

fn shop(with_key: bool) -> Sim<(kser::run::RunId, kser_testkit::Effects)> {
    Sim::new(move |world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, with_key);
        (world.launch(Checkout { order: 42 }), shop)
    })
}

fn setups() -> [Setup; 3] {
    [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ]
}

#[test]
fn a_clean_run_does_each_step_once() {
    for setup in setups() {
        let report = shop(false).on(setup).check(|run| {
            let (checkout, shop) = run.state;
            run.assert_succeeded(checkout);
            assert_eq!(run.outcome(checkout).message(), "ship");
            shop.assert_exactly_once(STEPS);
            assert_eq!(run.virtual_elapsed(), Duration::ZERO);
        });
        assert_eq!(report.runs, 1);
    }
}

#[test]
fn a_fault_is_tried_at_the_first_of_equal_events_alone_if_asked() {
    let runs = |faults: Faults| {
        let sim = Sim::new(|world| {
            let waits = |_: Charge| async {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            world.consumers(1).task(waits);
            world.launch_steps("shop.Book", vec![Step::new(Charge { order: 1 })]);
        });
        sim.faults(faults).check(|_| {}).runs
    };
    let panics = || Faults::single([Fault::Panic]);
    assert!(runs(panics()) > 3, "a fault at each wait");
    assert_eq!(runs(panics().at_first(2)), 1 + 2);
    assert_eq!(runs(panics().at_first(1)), 1 + 1);
}

#[test]
fn faults_that_are_only_drawn_have_no_runs_of_their_own() {
    let sim = || shop(true).faults(Faults::any_single_crash().only_drawn());
    assert_eq!(sim().check(|_| {}).runs, 1);
    let report = sim().random(5).check(|_| {});
    assert_eq!(report.runs, 1 + 5);
    let without = shop(true).random(5).check(|_| {});
    assert_ne!(report.trace_hash, without.trace_hash, "faults are drawn");
}

#[test]
fn a_handler_that_forgets_its_key_is_caught() {
    for setup in setups() {
        let sim = shop(false).on(setup).faults(Faults::any_single_crash());
        let failure = sim.try_check(|_| {}).unwrap_err();
        assert_eq!(failure.invariant(), "EffectOnce");
        assert_eq!(failure.plan().len(), 1);
    }
}

#[test]
fn a_failure_is_found_again_from_its_text() {
    let sim = shop(false).faults(Faults::any_single_crash());
    let found = sim.try_check(|_| {}).unwrap_err();
    let again = shop(false).replay(found.replay()).try_check(|_| {});
    let again = again.unwrap_err();
    assert_eq!(again.to_string(), found.to_string());
    assert_eq!(again.trace().hash(), found.trace().hash());
}

#[test]
fn what_a_test_asserts_is_a_failure_like_others() {
    let sim = shop(true).faults(Faults::any_single_crash());
    let failure = sim.try_check(|run| {
        let done = run.virtual_elapsed() < Duration::from_secs(5);
        assert!(done, "it took {:?}", run.virtual_elapsed());
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.invariant(), "Check");
    assert!(failure.what().starts_with("it took"), "{failure}");
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    for setup in setups() {
        let sim = |seed| {
            let sim = shop(true)
                .on(setup.clone())
                .faults(Faults::any_single_crash().only_drawn());
            sim.random(5).seed(seed).check(|_| {}).trace_hash
        };
        assert_eq!(sim(1), sim(1));
        assert_ne!(sim(1), sim(2));
    }
}

#[test]
fn every_order_of_two_operations_is_right() {
    for setup in setups() {
        let sim = Sim::new(|world| {
            let shop = world.effects("shop");
            handlers(world.consumers(2), &shop, true);
            [1, 2].map(|order| world.launch(Checkout { order }))
        });
        let report = sim.on(setup).every_order(1).check(|run| {
            run.state
                .iter()
                .for_each(|checkout| run.assert_succeeded(checkout));
        });
        assert!(report.runs > 10, "{report:?}");
    }
}

#[test]
fn a_key_that_is_another_tasks_is_caught() {
    let sim = |shared: bool| {
        Sim::new(move |world| {
            let shop = world.effects("shop");
            let at = shop.clone();
            let charge = move |_: Charge| {
                let call = at.call("charge");
                match shared {
                    true => call.with_shared_key("charge").into_future(),
                    false => call.with_key("charge").into_future(),
                }
            };
            world.consumers(2).task(charge);
            for order in 1..=2 {
                world.launch_steps("shop.Book", vec![Step::new(Charge { order })]);
            }
            shop
        })
    };
    let failure = sim(false).try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "EffectOnce");
    let said = "Book#2/1.Charge gives shop.charge the key of Book#1/1.Charge: the service does it for the first only";
    assert!(failure.what().starts_with(said), "{failure}");
    sim(true)
        .faults(Faults::any_single_crash())
        .check(|run| run.state.assert_exactly_once(["charge"]));
}

#[test]
fn each_run_and_each_lone_task_does_its_own_once() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, true);
        let checkouts = [1, 2].map(|order| world.launch(Checkout { order }));
        (checkouts, world.send(Charge { order: 3 }), shop)
    });
    sim.faults(Faults::any_single_crash()).check(|run| {
        let (checkouts, alone, shop) = run.state;
        for checkout in checkouts {
            shop.assert_exactly_once_in(checkout, STEPS);
        }
        shop.assert_exactly_once_in(alone, ["charge"]);
        assert_eq!(shop.count("charge"), 3);
        let twice = catch_unwind(AssertUnwindSafe(|| shop.assert_exactly_once(["ship"])));
        let said = twice.unwrap_err().downcast::<String>().unwrap();
        let by = [1, 2].map(|run| format!("by Checkout#{run}/3.Ship"));
        assert!(said.contains("done 2 times") && by.iter().all(|by| said.contains(by)));
        let never = catch_unwind(AssertUnwindSafe(|| {
            shop.assert_exactly_once_in(alone, ["ship"])
        }));
        let said = never.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("done 0 times in Charge#1"), "{said}");
    });
}

#[test]
fn an_attempt_after_a_crash_has_the_number_of_the_one_that_crashed() {
    for setup in setups() {
        let crash = "v1 | crash after Checkout#1/2.Charge/shop.charge/1 | ";
        let report = shop(true).on(setup).replay(crash).check(|run| {
            let trace = run.trace().to_string();
            let attempt = |number| {
                trace
                    .matches(&format!("runs Checkout#1/2.Charge, attempt {number}"))
                    .count()
            };
            assert_eq!([attempt(1), attempt(2)], [2, 0], "{trace}");
        });
        assert_eq!(report.runs, 1);
    }
}

/// So no crash finds it, which is why the README begins with every fault.
#[test]
fn a_key_with_the_number_of_the_attempt_is_found_by_any_single_fault_and_by_no_crash() {
    let sim = || {
        Sim::new(|world| {
            let shop = world.effects("shop");
            let charge = move |ctx: Context, _: Charge| {
                let key = format!("{}-{}", ctx.idempotency_key(), ctx.attempt());
                shop.call("charge").with_key(key).into_future()
            };
            world.consumers(2).task(charge);
            world.launch_steps("shop.Book", vec![Step::new(Charge { order: 1 })]);
        })
    };
    sim().faults(Faults::any_single_crash()).check(|_| {});
    let failure = sim().faults(Faults::any_single()).try_check(|_| {});
    assert_eq!(failure.unwrap_err().invariant(), "EffectOnce");
}
