use std::sync::Arc;
use std::time::Duration;

use kser::{Context, Entrypoint, IntoTask, RetryPolicy, Step, TaskError};
use kser_core::Transport;
use kser_testkit::{InjectedBug, Setup, World};
use serde::{Deserialize, Serialize};

use crate::transport::{Bad, Flaw};
use crate::workflow::{Work, caught, launch, send, work, workers};

/// Work in a topic of its own.
#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("mill.Grind")]
struct Grind {
    number: u32,
}

fn with(flaw: Flaw) -> impl Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync {
    move |inner| Arc::new(Bad { inner, flaw })
}

/// The workflow, on consumers whose transport has a flaw.
fn flawed(flaw: Flaw) -> impl Fn(&mut World) {
    move |world| {
        workers(world).wrap_transport(with(flaw));
        launch(world);
    }
}

/// A task that always fails, and waits long before it is tried again.
fn failing(flaw: Flaw) -> impl Fn(&mut World) {
    move |world| {
        let fail = |_: Work| async { Err::<(), _>(TaskError::temporary("Busy", "try later")) };
        let retry = RetryPolicy::exponential(3, Duration::from_secs(30));
        let fail = fail.into_task().with_retry(retry);
        world.consumers(1).task(fail).wrap_transport(with(flaw));
        world.send(Work { number: 1 });
    }
}

#[test]
fn a_transport_that_commits_first_is_caught() {
    for setup in [Setup::exactly_once(), Setup::at_least_once()] {
        assert_eq!(
            caught(setup, flawed(Flaw::CommitsFirst)),
            "CommitAfterDurable"
        );
    }
}

#[test]
fn a_transport_that_loses_outputs_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), flawed(Flaw::LosesOutputs)),
        "CommitAfterDurable"
    );
}

#[test]
fn a_transport_that_loses_the_outputs_of_hand_ins_is_caught() {
    for setup in [Setup::exactly_once(), Setup::at_least_once()] {
        assert_eq!(
            caught(setup, flawed(Flaw::LosesHandIns)),
            "CommitAfterDurable"
        );
    }
}

#[test]
fn a_transport_that_loses_a_delayed_message_is_caught() {
    let caught = caught(Setup::at_least_once(), failing(Flaw::LosesDelayed));
    assert_eq!(caught, "CommitAfterDurable");
}

#[test]
fn a_transport_that_forgets_how_often_it_was_tried_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), failing(Flaw::ForgetsAttempts)),
        "RetryBudget"
    );
}

#[test]
fn a_transport_that_forgets_to_wait_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), failing(Flaw::ForgetsWaits)),
        "RetryBudget"
    );
}

#[test]
fn a_transport_that_changes_dead_letters_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), failing(Flaw::ChangesLetters)),
        "DeadLetterOnce"
    );
}

#[test]
fn a_transport_that_never_commits_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::NeverCommits)),
        "Redelivery"
    );
}

#[test]
fn a_transport_that_publishes_twice_is_caught() {
    assert_eq!(
        caught(Setup::exactly_once(), flawed(Flaw::PublishesTwice)),
        "AcceptedOnce"
    );
}

#[test]
fn a_transport_that_writes_dead_letters_twice_is_caught() {
    assert_eq!(
        caught(Setup::exactly_once(), failing(Flaw::WritesLettersTwice)),
        "DeadLetterOnce"
    );
}

#[test]
fn a_transport_that_changes_metadata_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), flawed(Flaw::ChangesMetadata)),
        "Envelope"
    );
}

#[test]
fn a_transport_that_forwards_another_result_is_caught() {
    for setup in [Setup::at_least_once(), Setup::exactly_once()] {
        assert_eq!(
            caught(setup, flawed(Flaw::ForwardsAnotherResult)),
            "ResultForwarded"
        );
    }
}

#[test]
fn a_transport_that_says_another_end_is_caught() {
    assert_eq!(
        caught(Setup::exactly_once(), flawed(Flaw::SaysAnotherEnd)),
        "OneTerminal"
    );
}

#[test]
fn a_transport_that_goes_on_after_the_end_is_caught() {
    assert_eq!(
        caught(Setup::exactly_once(), flawed(Flaw::GoesOnAfterTheEnd)),
        "StopOnFailure"
    );
}

#[test]
fn a_transport_that_sends_a_step_too_early_is_caught() {
    assert_eq!(
        caught(Setup::exactly_once(), flawed(Flaw::SendsTooEarly)),
        "StepOrder"
    );
}

#[test]
fn a_transport_that_invents_messages_is_caught() {
    assert_eq!(
        caught(Setup::at_least_once(), flawed(Flaw::Invents)),
        "NoPhantom"
    );
}

#[test]
fn a_transport_that_reorders_a_key_is_caught() {
    let make = |world: &mut World| {
        workers(world).wrap_transport(with(Flaw::Reorders));
        send(world);
    };
    assert_eq!(caught(Setup::at_least_once(), make), "KeyOrder");
}

#[test]
fn a_transport_that_panics_is_caught() {
    assert_eq!(caught(Setup::stored(), flawed(Flaw::Panics)), "NoPanic");
}

#[test]
fn a_transport_that_leaves_silently_is_caught() {
    assert_eq!(
        caught(Setup::stored(), flawed(Flaw::LeavesSilently)),
        "Shutdown"
    );
}

/// The workflow, or three tasks of one key, on a broker that is broken.
fn broken(breakage: InjectedBug, make: fn(&mut World)) -> &'static str {
    let mut setup = Setup::at_least_once();
    setup.broken = Some(breakage);
    caught(setup, move |world| {
        workers(world);
        make(world);
    })
}

#[test]
fn a_transport_that_does_not_fence_is_caught() {
    assert_eq!(broken(InjectedBug::NoFencing, launch), "Fenced");
}

#[test]
fn a_transport_that_redelivers_nothing_is_caught() {
    assert_eq!(broken(InjectedBug::NoRedelivery, send), "Conservation");
    assert_eq!(broken(InjectedBug::NoRedelivery, launch), "Conservation");
}

/// Tasks of several keys, which run side by side and end in another order than they came in.
fn side_by_side(world: &mut World) {
    let wait = |work: Work| tokio::time::sleep(Duration::from_secs(10 - u64::from(work.number)));
    world.consumers(1).task(wait);
    for number in 1..=3 {
        world.send(Work { number });
    }
}

#[test]
fn a_transport_that_commits_past_what_is_not_done_is_caught() {
    let mut setup = Setup::at_least_once().with_partitions(1);
    setup.broken = Some(InjectedBug::CommitsPast);
    assert_eq!(caught(setup, side_by_side), "CommitPrefix");
}

#[test]
fn a_transport_whose_commits_go_back_is_caught() {
    let mut setup = Setup::at_least_once().with_partitions(1);
    setup.broken = Some(InjectedBug::CommitsBack);
    assert_eq!(caught(setup, side_by_side), "CommitMonotonic");
}

#[test]
fn a_transport_that_gives_more_than_there_is_room_for_is_caught() {
    let make = |world: &mut World| {
        workers(world)
            .configure(|consumer, _| consumer.with_buffer(1, 1_000_000))
            .wrap_transport(with(Flaw::GivesTooMuch));
        send(world);
    };
    assert_eq!(caught(Setup::at_least_once(), make), "Backpressure");
}

#[test]
fn a_transport_that_loses_what_it_was_given_is_caught() {
    let make = |world: &mut World| {
        workers(world).wrap_transport(with(Flaw::LosesSends));
        // What a client is told by a transport that loses it.
        world.wrap_clients(with(Flaw::LosesSends));
        launch(world);
    };
    assert_eq!(caught(Setup::at_least_once(), make), "NothingLost");
}

/// One task that is slow, or that waits for its next attempt, and another that is neither.
fn one_beside(slow: bool) -> impl Fn(&mut World) {
    move |world| {
        let work = move |work: Work| async move {
            match (work.number, slow) {
                (1, true) => tokio::time::sleep(Duration::from_secs(60)).await,
                (1, false) => return Err(TaskError::temporary("Busy", "try later")),
                _ => {}
            }
            Ok(())
        };
        let retry = RetryPolicy::exponential(8, Duration::from_secs(9));
        let retry = retry.max_delay(Duration::from_secs(9));
        let work = work.into_task().with_retry(retry);
        let consumers = world.consumers(1).task(work);
        consumers.wrap_transport(with(Flaw::TakesOneAtATime));
        for number in 1..=2 {
            world.send(Work { number });
        }
    }
}

#[test]
fn a_transport_that_has_healthy_work_wait_for_another_is_caught() {
    for setup in [Setup::stored(), Setup::at_least_once()] {
        for slow in [true, false] {
            assert_eq!(caught(setup.clone(), one_beside(slow)), "HealthyInTime");
        }
    }
}

#[test]
fn a_transport_that_publishes_more_than_is_needed_is_caught() {
    // Stored steps of one topic would begin in a row, without records.
    let two_topics = |world: &mut World| {
        let (here, there) = (world.effects("shop"), world.effects("mill"));
        let work_here = move |ctx: Context, params: Work| work(here.clone(), ctx, params);
        let grind =
            move |ctx: Context, Grind { number }: Grind| work(there.clone(), ctx, Work { number });
        let consumers = world.consumers(2).task(work_here).task(grind);
        consumers.wrap_transport(with(Flaw::PublishesTwice));
        let work = |number| Step::new(Work { number });
        let steps = vec![work(1), Step::new(Grind { number: 2 }), work(3)];
        world.launch_steps("shop.Job", steps);
    };
    for setup in [Setup::stored(), Setup::at_least_once()] {
        assert_eq!(caught(setup, two_topics), "RecordsNeeded");
    }
}
