use std::time::Duration;

use kser_testkit::{Faults, Setup, Sim};

use crate::shop::{Checkout, STEPS, handlers};

fn shop(with_key: bool) -> Sim<(kser::RunId, kser_testkit::Effects)> {
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
            assert_eq!(run.outcome(checkout).stdout(), "ship");
            shop.assert_exactly_once(STEPS);
            assert_eq!(run.virtual_elapsed(), Duration::ZERO);
        });
        assert_eq!(report.runs, 1);
    }
}

#[test]
fn a_checkout_survives_any_single_crash() {
    for setup in setups() {
        let sim = shop(true).on(setup).faults(Faults::any_single_crash());
        let report = sim.check(|run| {
            let (checkout, shop) = run.state;
            run.assert_succeeded(checkout);
            shop.assert_exactly_once(STEPS);
        });
        assert!(report.runs > 25, "{report:?}");
    }
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
                .faults(Faults::any_single_crash());
            sim.random(20).seed(seed).check(|_| {}).trace_hash
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
