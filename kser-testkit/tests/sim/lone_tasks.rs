//! Lone tasks: a task that no consumer reads, or that fails, does not pass, and tests assert how lone tasks end.

use std::future::ready;
use std::time::Duration;

use kser::{Context, Entrypoint, IntoTask, RetryPolicy, Status, Step, TaskError};
use kser_testkit::{Failure, Faults, Setup, Sim, World};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {}

impl Entrypoint for Work {
    const PATH: &'static str = "shop.Work";
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {}

impl Entrypoint for Mail {
    const PATH: &'static str = "post.Mail";
}

fn setups() -> [Setup; 3] {
    [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ]
}

/// Finds the faults of a scenario of which nothing is asserted.
#[track_caller]
fn found(setup: Setup, make: impl Fn(&mut World) + 'static) -> Failure {
    *Sim::new(make).on(setup).try_check(|_| {}).unwrap_err()
}

/// A task that works and sends a mail, launched as a step or sent alone.
fn sender(world: &mut World, alone: bool) {
    let send = |ctx: Context, _: Work| ready(ctx.send(Mail {}).map(|_| ()));
    world.consumers(1).task(send);
    match alone {
        true => drop(world.send(Work {})),
        false => drop(world.launch_steps("shop.Job", vec![Step::new(Work {})])),
    }
}

#[test]
fn a_lone_task_in_a_topic_that_no_consumer_reads_is_caught() {
    for setup in setups() {
        let failure = found(setup.clone(), |world| {
            world.consumers(1).task(|_: Work| async {});
            world.send(Work {});
            world.send(Mail {});
        });
        assert_eq!(failure.invariant(), "NothingLost", "{failure}");
        let said = "Mail#1 was sent to the topic post, which no consumer reads";
        assert!(failure.what().starts_with(said), "{failure}");
        for alone in [true, false] {
            let failure = found(setup.clone(), move |world| sender(world, alone));
            assert_eq!(failure.invariant(), "NothingLost", "{failure}");
            assert!(failure.what().starts_with(said), "{failure}");
        }
    }
}

#[test]
fn a_lone_task_in_a_topic_that_is_read_outside_is_sent() {
    for setup in setups() {
        let sim = Sim::new(|world| {
            world.outside("post");
            sender(world, true);
        });
        sim.on(setup).check(|run| {
            let mut sent: Vec<_> = run.tasks().into_iter().map(|(_, status)| status).collect();
            sent.sort_by_key(|status| *status == Status::Success);
            assert_eq!(sent, [Status::Pending, Status::Success]);
        });
    }
}

#[test]
fn a_lone_task_in_a_topic_that_no_consumer_reads_is_caught_by_hand() {
    let sim = Sim::new(|world| sender(world, true));
    let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        sim.by_hand().finish();
    }));
    let said = finished.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("which no consumer reads"), "{said}");
}

/// A lone task that fails for good, or panics each time.
fn failing(panics: bool) -> impl Fn(&mut World) -> kser::message::TaskId {
    move |world| {
        let work = move |_: Work| async move {
            assert!(!panics, "it breaks");
            Err::<(), _>(TaskError::permanent("Broken", "for good"))
        };
        let often = RetryPolicy::exponential(2, Duration::from_secs(1));
        world.consumers(1).task(work.into_task().with_retry(often));
        world.send(Work {})
    }
}

#[test]
fn a_lone_task_that_fails_is_caught_unless_its_end_is_asked_for() {
    for (setup, panics, why) in setups().into_iter().flat_map(|setup| {
        [
            (setup.clone(), false, "for good"),
            (setup, true, "it breaks"),
        ]
    }) {
        let sim = || Sim::new(failing(panics)).on(setup.clone());
        let failure = sim().try_check(|_| {}).unwrap_err();
        assert_eq!(failure.invariant(), "NoSilentFailure", "{failure}");
        let said = "Work#1 has failed, and the check does not ask how it ended: ";
        assert!(failure.what().starts_with(said), "{failure}");
        assert!(failure.what().contains(why), "{failure}");
        let failure = sim().try_check(|run| run.assert_succeeded(run.state));
        let failure = failure.unwrap_err();
        assert_eq!(failure.invariant(), "Check", "{failure}");
        let said = "Work#1 is FAILED, and not SUCCESS: ";
        assert!(failure.what().starts_with(said), "{failure}");
        assert!(failure.what().contains(why), "{failure}");
        sim().check(|run| run.assert_failed(run.state));
        sim().check(|run| {
            assert_eq!(run.status(run.state), Some(Status::Failed));
            assert!(run.outcome(run.state).shown().contains(why));
        });
        sim().check(|run| assert_eq!(run.tasks().len(), 1));
    }
}

#[test]
fn a_lone_task_that_succeeds_whatever_goes_wrong_is_asserted() {
    for setup in setups() {
        let sim = Sim::new(|world| {
            world.consumers(2).task(|_: Work| ready("done".to_owned()));
            world.send_with_key(Work {}, "one key")
        });
        let report = sim.on(setup).faults(Faults::any_single()).check(|run| {
            run.assert_succeeded(run.state);
            assert_eq!(run.outcome(run.state).message(), "done");
            assert_eq!(run.status("Work#2"), None);
        });
        assert!(report.runs > 30, "{report:?}");
    }
}
