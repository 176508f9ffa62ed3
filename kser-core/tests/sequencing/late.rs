//! Events that come late, twice, or from whoever lost the step.

use kser_core::sequencing::{Effect, Event, Progress, Rejected, StepKey, StepWindow, apply};
use kser_core::{Outcome, Status, Timestamp};

use crate::steps::{
    LEASE, NOW, at, begun, ended, external, failure, lease, running, started, step,
};

#[test]
fn a_failed_build_that_is_told_twice_asks_for_its_dead_letter_twice() {
    let key = StepKey {
        position: 0,
        uuid: "run".into(),
        entrypoint: "test.Run".into(),
    };
    let event = Event::Started {
        step: key,
        lease: None,
        alone: false,
        seen: 0,
    };
    let begun = apply(&Progress::launched(NOW), StepWindow::default(), event, NOW);
    let failed = Event::NotBuilt {
        attempt: 1,
        outcome: failure(),
        retry_at: None,
    };
    let begun = begun.unwrap().progress;
    let first = apply(&begun, StepWindow::default(), failed.clone(), NOW).unwrap();
    // The answer of the store was lost, and the worker decides again.
    let second = apply(&first.progress, StepWindow::default(), failed, NOW).unwrap();
    assert!(!second.changed);
    assert_eq!(
        second.effects.first(),
        Some(&Effect::DeadLetter),
        "{:?}",
        second.effects
    );
}

#[test]
fn a_success_of_an_attempt_that_was_repaired_away_is_refused() {
    let here = step(1);
    let lost = begun(2, &here);
    let retried = Event::Retried {
        step: here.key.clone(),
    };
    let repaired = at(&lost, &here, retried, NOW + LEASE).unwrap().progress;
    let zombie = at(
        &repaired,
        &here,
        ended(&here, 1, Outcome::text("late")),
        NOW + LEASE,
    );
    assert_eq!(zombie, Err(Rejected::Fenced));
}

#[test]
fn a_success_of_an_attempt_that_was_given_back_is_refused() {
    let here = step(1);
    let back = Event::Interrupted {
        step: here.key.clone(),
        attempt: 1,
    };
    let back = at(&begun(2, &here), &here, back, NOW).unwrap().progress;
    let late = at(&back, &here, ended(&here, 1, Outcome::default()), NOW);
    assert_eq!(late, Err(Rejected::Fenced));
}

#[test]
fn the_lease_of_an_attempt_lives_on_after_a_cancel_and_keeps_repairs_away() {
    let here = step(1);
    let cancelled = at(&begun(2, &here), &here, Event::Cancelled, NOW).unwrap();
    let until = NOW + LEASE + LEASE;
    let renewed = Event::Renewed {
        step: here.key.clone(),
        attempt: 1,
        until,
    };
    let renewed = at(&cancelled.progress, &here, renewed, NOW).unwrap();
    assert_eq!(
        renewed.progress.status(),
        Status::Cancelled,
        "it is told so"
    );
    let resumed = at(&renewed.progress, &here, Event::Resumed, NOW + LEASE);
    assert_eq!(resumed, Err(Rejected::Leased { until }));
}

/// The consumer that had begun the step crashed: no other event would take its lease from the cancelled run.
#[test]
fn a_crashed_attempt_of_a_cancelled_run_ends_with_the_next_delivery() {
    let here = step(1);
    let cancelled = at(&begun(2, &here), &here, Event::Cancelled, NOW).unwrap();
    let cancelled = cancelled.progress;
    let start = || started(&here, lease("other", 1), false);
    let early = at(&cancelled, &here, start(), NOW);
    let until = NOW + LEASE;
    assert_eq!(early, Err(Rejected::Leased { until }));
    let left = at(&cancelled, &here, start(), until).unwrap();
    assert!(left.changed && left.effects.is_empty());
    let left = left.progress;
    assert_eq!(left.status(), Status::Cancelled);
    assert!(!left.is_started() && left.lease().is_none());
    assert_eq!((left.attempts(), left.crash_count()), (1, 1));
    let again = at(&left, &here, start(), until);
    assert_eq!(again, Err(Rejected::Finished(Status::Cancelled)));
}

#[test]
fn an_external_step_that_failed_after_a_cancel_leaves_its_outcome_once() {
    let here = external(1, 1);
    let sent = at(
        &running(1, 1),
        &here,
        Event::Retried {
            step: here.key.clone(),
        },
        NOW,
    );
    let cancelled = at(&sent.unwrap().progress, &here, Event::Cancelled, NOW).unwrap();
    let reported = |text| Event::Reported {
        step: here.key.clone(),
        outcome: failure().with_error_message(text),
        seen: 0,
    };
    let told = at(&cancelled.progress, &here, reported("no"), NOW).unwrap();
    assert_eq!(told.progress.status(), Status::Cancelled);
    assert_eq!(told.progress.last_outcome().error_message(), "no");
    assert!(told.effects.is_empty());
    let again = at(&told.progress, &here, reported("still no"), NOW);
    assert_eq!(again, Err(Rejected::Finished(Status::Cancelled)));
}

#[test]
fn an_external_step_of_which_nobody_was_told_is_sent_by_a_sweep_and_its_silence_counts() {
    let here = external(1, 1);
    let forked = running(1, 1);
    let due = forked.check_at().unwrap();
    let swept = at(&forked, &here, Event::Swept, due).unwrap();
    assert!(swept.progress.is_started());
    assert_eq!(swept.progress.lease().unwrap().until, due + LEASE);
    let later = swept.progress.check_at().unwrap();
    let silent = at(&swept.progress, &here, Event::Swept, later).unwrap();
    assert_eq!(silent.progress.status(), Status::Failed);
}

#[test]
fn giving_up_a_step_that_is_past_asks_for_the_step_after_it() {
    let (first, second) = (step(1), step(2));
    let window = StepWindow {
        current: Some(&first),
        following: Some(&second),
    };
    let done = ended(&first, 1, Outcome::default());
    let done = apply(&begun(2, &first), window, done, NOW)
        .unwrap()
        .progress;
    let given_up = Event::GivenUp {
        step: first.key.clone(),
        outcome: failure(),
        seen: 1,
    };
    let again = at(&done, &second, given_up, NOW).unwrap();
    assert_eq!(again.progress.position(), 2);
    assert!(matches!(
        again.effects[..],
        [Effect::Publish { position: 2, .. }]
    ));
}

/// Counts that come from a message may be anything.
#[test]
fn counts_at_their_limit_do_no_harm() {
    let here = step(1);
    let progress = Progress::lone(Outcome::default()).with_counts(u32::MAX, 0);
    let begun = at(&progress, &here, started(&here, lease("a", 0), true), NOW);
    let begun = begun.unwrap().progress;
    assert_eq!(begun.attempts(), u32::MAX);
    let killed = Progress::lone(Outcome::default()).with_counts(u32::MAX, u32::MAX);
    let event = started(&here, lease("a", 0), true);
    let killed = at(&killed, &here, event, Timestamp::from_millis(u64::MAX)).unwrap();
    assert_eq!(killed.progress.status(), Status::Failed);
}

/// Nobody of ours is at it, and the one who is may take weeks.
#[test]
fn a_cancelled_external_step_may_be_resumed_at_once() {
    let here = external(1, 1);
    let retried = Event::Retried {
        step: here.key.clone(),
    };
    let sent = at(&running(1, 1), &here, retried, NOW).unwrap().progress;
    let cancelled = at(&sent, &here, Event::Cancelled, NOW).unwrap().progress;
    let resumed = at(&cancelled, &here, Event::Resumed, NOW).unwrap();
    assert_eq!(resumed.progress.status(), Status::Running);
    assert_eq!(
        (
            resumed.progress.attempts(),
            resumed.progress.counted_attempts()
        ),
        (2, 1)
    );
}
