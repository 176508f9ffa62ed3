//! Single rules, by name.

use kser_core::sequencing::{Effect, Event, Lease, Progress, Rejected, StepKey, StepWindow, apply};
use kser_core::{Outcome, Status, TaskError, Timestamp};

use crate::steps::{LEASE, NOW, at, begun, ended, external, lease, running, started, step};

#[test]
fn a_second_delivery_finds_the_lease() {
    let (here, progress) = (step(1), running(3, 1));
    let begun = at(&progress, &here, started(&here, lease("a", 0), false), NOW)
        .unwrap()
        .progress;
    let again = at(&begun, &here, started(&here, lease("b", 0), false), NOW);
    assert_eq!(again, Err(Rejected::Leased { until: NOW + LEASE }));
    let later = NOW + LEASE;
    let taken = at(&begun, &here, started(&here, lease("b", 0), false), later)
        .unwrap()
        .progress;
    assert_eq!(
        (
            taken.attempts(),
            taken.counted_attempts(),
            taken.crash_count()
        ),
        (2, 1, 1)
    );
}

#[test]
fn a_later_life_of_the_instance_takes_over_at_once() {
    let (here, progress) = (step(1), running(3, 1));
    let begun = at(&progress, &here, started(&here, lease("a", 1), false), NOW)
        .unwrap()
        .progress;
    let same = at(&begun, &here, started(&here, lease("a", 1), false), NOW);
    assert!(same.is_err());
    let next = at(&begun, &here, started(&here, lease("a", 2), false), NOW);
    assert!(next.unwrap().changed);
}

#[test]
fn a_step_whose_attempts_end_without_a_report_becomes_a_suspect_and_a_dead_letter() {
    let here = step(1);
    let (mut progress, mut now) = (running(1, 1), NOW);
    let free = |now: Timestamp| Lease::new(now + LEASE, lease("a", 0).owner);
    for _ in 0..2 {
        progress = at(&progress, &here, started(&here, free(now), false), now)
            .unwrap()
            .progress;
        now = now + LEASE;
    }
    let beside = at(&progress, &here, started(&here, free(now), false), now);
    assert_eq!(beside, Err(Rejected::Suspect));
    progress = at(&progress, &here, started(&here, free(now), true), now)
        .unwrap()
        .progress;
    now = now + LEASE;
    let last = at(&progress, &here, started(&here, free(now), true), now).unwrap();
    assert_eq!(last.progress.status(), Status::Failed);
    assert!(last.effects.contains(&Effect::DeadLetter));
}

#[test]
fn the_dead_letter_belongs_to_the_record_that_began_the_attempt() {
    let here = step(1);
    let begun = at(
        &running(1, 1),
        &here,
        started(&here, lease("a", 0), false),
        NOW,
    )
    .unwrap()
    .progress;
    let outcome = Outcome::from(&TaskError::new("No", "no"));
    let ended = Event::Ended {
        step: here.key.clone(),
        attempt: 1,
        outcome,
        retry_at: None,
    };
    let failed = at(&begun, &here, ended, NOW).unwrap().progress;
    let again = |seen| Event::Started {
        step: here.key.clone(),
        lease: None,
        alone: false,
        seen,
    };
    let same = at(&failed, &here, again(1), NOW).unwrap();
    assert!(same.effects.contains(&Effect::DeadLetter) && !same.changed);
    let other = at(&failed, &here, again(2), NOW).unwrap();
    assert!(other.effects.is_empty());
}

#[test]
fn an_external_step_counts_as_started_when_it_is_sent() {
    let (here, next) = (step(1), external(2, 2));
    let window = StepWindow {
        current: Some(&here),
        following: Some(&next),
    };
    let event = started(&here, lease("a", 0), false);
    let begun = apply(&running(2, 1), window, event, NOW).unwrap().progress;
    let outcome = Outcome::text("one");
    let ended = Event::Ended {
        step: here.key.clone(),
        attempt: 1,
        outcome,
        retry_at: None,
    };
    let sent = apply(&begun, window, ended, NOW).unwrap().progress;
    assert!(sent.is_started());
    assert_eq!(sent.lease().unwrap().until, NOW + LEASE);

    // Silence is a failed attempt, and there is another.
    let silent = at(&sent, &next, Event::Swept, NOW + LEASE).unwrap();
    assert_eq!(
        (silent.progress.attempts(), silent.progress.crash_count()),
        (2, 0)
    );
    assert!(matches!(
        silent.effects[..],
        [Effect::Publish { position: 2, .. }]
    ));
    let later = silent.progress.check_at().unwrap();
    let given_up = at(&silent.progress, &next, Event::Swept, later).unwrap();
    assert_eq!(given_up.progress.status(), Status::Failed);
    assert!(
        !given_up.effects.contains(&Effect::DeadLetter),
        "nothing is at hand"
    );

    // The first report ends it, however often it was sent.
    let reported = Event::Reported {
        step: next.key.clone(),
        outcome: Outcome::text("two"),
        seen: 0,
    };
    let done = at(&silent.progress, &next, reported.clone(), NOW)
        .unwrap()
        .progress;
    assert_eq!(
        (done.status(), done.outcome().message()),
        (Status::Success, "two")
    );
    let twice = apply(&done, StepWindow::default(), reported, NOW).unwrap();
    assert!(!twice.changed);
}

#[test]
fn only_an_external_step_is_ended_by_a_report() {
    let here = step(1);
    let reported = Event::Reported {
        step: here.key.clone(),
        outcome: Outcome::default(),
        seen: 0,
    };
    assert_eq!(
        at(&running(1, 1), &here, reported, NOW),
        Err(Rejected::NotExternal)
    );
}

#[test]
fn a_message_that_is_ahead_of_the_state_waits() {
    let here = step(1);
    let ahead = at(
        &running(3, 1),
        &here,
        started(&step(2), lease("a", 0), false),
        NOW,
    );
    assert_eq!(ahead, Err(Rejected::Ahead { position: 1 }));
}

#[test]
fn a_step_is_known_by_its_uuid_and_its_entrypoint() {
    let here = step(1);
    let mut other = step(1);
    other.key.entrypoint = "test.Other".into();
    let shifted = at(
        &running(3, 1),
        &here,
        started(&other, lease("a", 0), false),
        NOW,
    );
    assert_eq!(shifted, Err(Rejected::UnknownStep));
}

#[test]
fn a_repair_starts_the_counts_anew_and_fences_all_the_same() {
    let here = step(1);
    let begun = at(
        &running(1, 1),
        &here,
        started(&here, lease("a", 0), false),
        NOW,
    )
    .unwrap()
    .progress;
    let refused = at(&begun, &here, Event::Cancelled, NOW).unwrap().progress;
    let early = at(&refused, &here, Event::Resumed, NOW);
    assert_eq!(early, Err(Rejected::Leased { until: NOW + LEASE }));
    let resumed = at(&refused, &here, Event::Resumed, NOW + LEASE)
        .unwrap()
        .progress;
    assert_eq!((resumed.attempts(), resumed.counted_attempts()), (1, 0));
    let zombie = Event::Ended {
        step: here.key.clone(),
        attempt: 1,
        outcome: Outcome::default(),
        retry_at: None,
    };
    let again = Lease::new(NOW + LEASE * 9, lease("b", 0).owner);
    let begun = at(&resumed, &here, started(&here, again, false), NOW + LEASE)
        .unwrap()
        .progress;
    assert_eq!(
        at(&begun, &here, zombie, NOW + LEASE),
        Err(Rejected::Fenced)
    );
}

#[test]
fn an_empty_operation_fails_as_in_python() {
    let launched = Progress::launched(NOW);
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
    let begun = apply(&launched, StepWindow::default(), event, NOW)
        .unwrap()
        .progress;
    let built = Event::Built {
        attempt: 1,
        steps: 0,
    };
    let failed = apply(&begun, StepWindow::default(), built, NOW)
        .unwrap()
        .progress;
    assert_eq!(failed.status(), Status::Failed);
    assert_eq!(failed.last_outcome().code(), 1);
    assert_eq!(
        failed.last_outcome().error_message(),
        "Nothing to do, empty operation !"
    );
}

/// ResultForwarded, as in Python: the next step is given all that was left so far, under the name of the last.
#[test]
fn what_a_step_leaves_is_laid_over_what_it_was_given() {
    let (first, second) = (step(1), step(2));
    let leaves = |text: &str, retval| {
        let outcome = Outcome::json(&retval).unwrap();
        outcome.with_message(text)
    };
    let window = StepWindow {
        current: Some(&first),
        following: Some(&second),
    };
    let one = ended(
        &first,
        1,
        leaves("one", serde_json::json!({"a": 1, "b": 1})),
    );
    let one = apply(&begun(2, &first), window, one, NOW).unwrap().progress;
    let start = started(&second, lease("a", 0), false);
    let start = at(&one, &second, start, NOW).unwrap().progress;
    let end = |outcome| {
        at(&start, &second, ended(&second, 1, outcome), NOW)
            .unwrap()
            .progress
    };
    let two = end(leaves("", serde_json::json!({"b": 2})));
    let outcome = two.outcome();
    assert_eq!(outcome.data().as_str(), r#"{"a":1,"b":2}"#);
    assert_eq!(
        (outcome.message(), outcome.uuid()),
        ("one", Some(&second.key.uuid))
    );
    let alone = end(leaves("", serde_json::json!({"b": 2})).replacing());
    assert_eq!(alone.outcome().data().as_str(), r#"{"b":2}"#);
}
