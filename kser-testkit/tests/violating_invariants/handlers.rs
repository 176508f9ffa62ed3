use std::future::{Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use kser::layer::{TaskRequest, TaskService};
use kser::{Context, Outcome, Step, TaskError};
use kser_testkit::{Faults, Setup, Sim, World};
use tower::Service;

use crate::workflow::{Work, caught, launch};

#[test]
fn a_handler_that_forgets_its_key_is_caught() {
    let make = |world: &mut World| {
        let shop = world.effects("shop");
        let work = move |_: Work| {
            let shop = shop.clone();
            async move { shop.call("work").await }
        };
        world.consumers(2).task(work);
        launch(world);
    };
    assert_eq!(caught(Setup::stored(), make), "EffectOnce");
}

#[test]
fn a_handler_that_makes_a_key_of_the_attempt_is_caught() {
    let make = |world: &mut World| {
        let shop = world.effects("shop");
        let work = move |ctx: Context, _: Work| {
            let shop = shop.clone();
            let key = format!("{}-{:?}", ctx.idempotency_key(), ctx.fence());
            async move { shop.call("work").with_key(key).await }
        };
        world.consumers(2).task(work);
        launch(world);
    };
    assert_eq!(caught(Setup::stored(), make), "EffectOnce");
}

#[test]
fn a_handler_that_does_nothing_is_caught() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        world.consumers(1).task(|_: Work| async {});
        launch(world);
        shop
    });
    let failure = sim.try_check(|run| run.state.assert_exactly_once(["work"]));
    assert_eq!(failure.unwrap_err().invariant(), "EffectDone");
}

#[test]
fn a_handler_whose_work_outlives_it_is_caught() {
    let make = |world: &mut World| {
        let work = |_: Work| async {
            tokio::spawn(std::future::pending::<()>());
        };
        world.consumers(1).task(work);
        launch(world);
    };
    assert_eq!(caught(Setup::stored(), make), "NoLeak");
}

/// A layer that answers before its handler has.
#[derive(Clone)]
struct Hasty(TaskService);

impl Service<TaskRequest> for Hasty {
    type Response = Outcome;
    type Error = TaskError;
    type Future = Ready<Result<Outcome, TaskError>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), TaskError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TaskRequest) -> Self::Future {
        tokio::spawn(self.0.call(request));
        ready(Ok(Outcome::default()))
    }
}

#[test]
fn a_handler_that_goes_on_in_the_background_is_caught() {
    let make = |world: &mut World| {
        let slow = |_: Work| tokio::time::sleep(Duration::from_secs(10));
        let consumers = world.consumers(1).task(slow);
        consumers.configure(|consumer, _| {
            let hasty = tower::layer::layer_fn(Hasty);
            consumer.with_concurrency(1).with_layer(hasty)
        });
        launch(world);
    };
    assert_eq!(caught(Setup::stored(), make), "Backpressure");
}

#[test]
fn a_handler_that_never_returns_is_caught() {
    let make = |world: &mut World| {
        let work = |_: Work| std::future::pending::<()>();
        world.consumers(1).task(work);
        launch(world);
    };
    assert_eq!(caught(Setup::stored(), make), "Terminal");
}

#[test]
fn a_handler_that_decides_by_chance_is_caught() {
    let sim = Sim::new(|world| {
        let work = |_: Work| async {
            let chance = RandomState::new().hash_one("dice");
            tokio::time::sleep(Duration::from_millis(1 + chance % 1000)).await;
        };
        world.consumers(1).task(work);
        launch(world);
    });
    // It is made again because something is wrong.
    let failure = sim.try_check(|run| assert!(run.virtual_elapsed() < Duration::from_millis(1)));
    let failure = failure.unwrap_err();
    assert_eq!(failure.invariant(), "Deterministic", "{failure}");
}

#[test]
fn a_handler_whose_outcome_counts_deliveries_is_caught() {
    let make = |world: &mut World| {
        let shop = world.repeatable("shop");
        let work = move |_: Work| {
            let shop = shop.clone();
            async move {
                shop.call("work").await?;
                Ok::<_, TaskError>(format!("number {}", shop.count("work")))
            }
        };
        world.consumers(2).task(work);
        launch(world);
    };
    let setup = Setup::at_least_once();
    let sim = Sim::new(make).on(setup);
    let sim = sim.faults(Faults::single([kser_testkit::faults::Fault::Duplicate]));
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "DuplicateIsNoop", "{failure}");
}

#[test]
fn a_handler_whose_outcome_says_who_was_first_is_caught() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        let work = move |ctx: Context, _: Work| {
            let shop = shop.clone();
            async move {
                shop.call("work").with_key(ctx.idempotency_key()).await?;
                Ok::<_, TaskError>(format!("number {}", shop.count("work")))
            }
        };
        world.consumers(2).task(work);
        for _ in 0..2 {
            world.launch_steps("shop.Job", vec![Step::new(Work { number: 1 })]);
        }
    });
    let failure = sim.every_order(2).try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "OrderIsNoop", "{failure}");
}

#[test]
fn a_client_that_asks_and_asks_is_caught() {
    let make = |world: &mut World| {
        world.consumers(1).task(|_: Work| async {});
        world.client(|kser| async move {
            loop {
                let _ = kser.runs().status(&"nobody".into()).await;
            }
        });
    };
    assert_eq!(caught(Setup::stored(), make), "NoLivelock");
}

#[test]
fn a_plan_that_a_run_does_not_come_to_is_caught() {
    let sim = Sim::new(|world| {
        world.consumers(1).task(|_: Work| async {});
        launch(world);
    });
    let sim = sim.replay("v1 | crash before Job#1/7.Nowhere/commit/1 |");
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "NotVacuous");
    let said = failure.to_string();
    let planned = "crash before Job#1/7.Nowhere/commit/1";
    assert!(said.contains("has the workflow changed"), "{said}");
    assert!(said.contains(&format!("faults: {planned}, ")), "{said}");
    assert_eq!(failure.replay(), format!("v1 | {planned} | "));
}

#[test]
fn decisions_that_a_run_does_not_ask_for_are_caught() {
    let many = format!("{}1", "0 ".repeat(99));
    for (decisions, said) in [
        ("99", "decision 1 was to be 99"),
        (&many, "the run asks for"),
    ] {
        let sim = Sim::new(|world| {
            world.consumers(2).task(|_: Work| async {});
            launch(world);
        });
        let sim = sim.replay(format!("v1 | | {decisions}"));
        let failure = sim.try_check(|_| {}).unwrap_err();
        assert_eq!(failure.invariant(), "NotVacuous");
        assert!(failure.what().contains(said), "{failure}");
        assert_eq!(failure.replay(), format!("v1 |  | {decisions}"));
    }
}

#[test]
fn a_handler_that_fails_and_is_not_asked_about_is_caught() {
    let make = |world: &mut World| {
        let broken = |_: Work| ready(Err::<(), _>(TaskError::permanent("Broken", "for good")));
        world.consumers(1).task(broken);
        world.send(Work { number: 1 });
    };
    for setup in [Setup::stored(), Setup::at_least_once()] {
        assert_eq!(caught(setup, make), "NoSilentFailure");
    }
}
