//! When somebody should look whether a run moves.

use std::time::Duration;

use kser_core::sequencing::{Effect, Event, Progress};

use crate::steps::{LEASE, NOW, at, begun, failure, lease, running, started, step};

const MINUTE: Duration = Duration::from_secs(60);

/// Sweeps as soon as it is due, this often.
fn swept(mut progress: Progress, times: usize) -> (Progress, Vec<u64>) {
    let (here, mut waits) = (step(1), Vec::new());
    for _ in 0..times {
        let now = progress.check_at().unwrap();
        let before = progress;
        let sweep = at(&before, &here, Event::Swept, now).unwrap();
        assert!(matches!(
            sweep.effects[..],
            [Effect::Publish { position: 1, .. }]
        ));
        progress = sweep.progress;
        waits.push(progress.check_at().unwrap().since(now).as_secs() / 60);
    }
    (progress, waits)
}

/// A queue that is merely long is not made much longer.
#[test]
fn sweeps_come_less_and_less_often_and_never_stop() {
    let (_, waits) = swept(running(1, 1), 8);
    assert_eq!(waits, [2, 4, 8, 16, 32, 32, 32, 32]);
}

#[test]
fn whoever_moves_the_run_makes_sweeps_impatient_again() {
    let here = step(1);
    let (progress, _) = swept(running(1, 1), 5);
    let now = progress.updated();
    let begun = at(&progress, &here, started(&here, lease("a", 0), false), now);
    let back = Event::Interrupted {
        step: here.key.clone(),
        attempt: 1,
    };
    let back = at(&begun.unwrap().progress, &here, back, now).unwrap();
    assert_eq!(back.progress.check_at(), Some(now + MINUTE));
}

#[test]
fn of_two_sweepers_one_publishes() {
    let forked = running(1, 1);
    let due = forked.check_at().unwrap();
    let first = at(&forked, &step(1), Event::Swept, due).unwrap().progress;
    let second = at(&first, &step(1), Event::Swept, due).unwrap();
    assert!(!second.changed && second.effects.is_empty());
}

#[test]
fn what_is_leased_is_looked_at_when_the_lease_ends() {
    let begun = begun(1, &step(1));
    assert_eq!(begun.check_at(), Some(NOW + LEASE));
    let swept = at(&begun, &step(1), Event::Swept, NOW + LEASE / 2).unwrap();
    assert!(!swept.changed);
    // Nobody came: it is published for whoever takes it over, and that may take a while.
    let swept = at(&begun, &step(1), Event::Swept, NOW + LEASE).unwrap();
    assert!(matches!(swept.effects[..], [Effect::Publish { .. }]));
    assert_eq!(swept.progress.check_at(), Some(NOW + LEASE + MINUTE * 2));
}

#[test]
fn what_waits_is_looked_at_after_its_wait() {
    let here = step(1);
    let due = NOW + MINUTE * 90;
    let failed = Event::Ended {
        step: here.key.clone(),
        attempt: 1,
        outcome: failure(),
        retry_at: Some(due),
    };
    let failed = at(&begun(1, &here), &here, failed, NOW).unwrap().progress;
    assert_eq!(failed.check_at(), Some(due + MINUTE));
}
