use super::room::{BEHIND, PARKED};
use super::*;
use crate::progress::{MetadataBudget, WriterId};

const STAMP: Stamp = Stamp {
    at: Timestamp::from_millis(0),
    by_broker: false,
};

fn time() -> Time {
    Time::new(std::sync::Arc::new(kser_clock::SystemClock::new()))
}

fn assignment(waits_for: Option<(Topic, Duration)>) -> Assignment {
    Assignment::new(1, Topic::new("t").unwrap(), 0, waits_for)
}

fn record(key: Option<&'static str>) -> Record {
    let mut record = Record::new(Topic::new("t").unwrap(), None);
    record.key = key.map(|key| Bytes::from_static(key.as_bytes()));
    record
}

/// Lets many records arrive, from an offset on.
fn arrive(assignment: &mut Assignment, from: i64, key: Option<&'static str>) {
    for offset in (from..).take(PARKED) {
        assignment.receive(offset, STAMP, record(key), &time(), time().now());
    }
}

#[test]
fn no_more_is_fetched_while_the_progress_of_waits_cannot_be_read() {
    let waits_for = Some((Topic::new("t").unwrap(), Duration::from_secs(1)));
    let mut assignment = assignment(waits_for);
    arrive(&mut assignment, 0, None);
    assert!(assignment.is_full());
}

/// Makes a partition that starts at offset 0.
fn started() -> Assignment {
    let mut assignment = assignment(None);
    let mut progress =
        PartitionProgress::take_over(Some(0), "", WriterId::new(), MetadataBudget::default());
    let commit = progress.commit().unwrap();
    progress.confirm(&commit);
    assignment.begin(progress);
    assignment
}

/// Lets many records of a key wait behind the first, which was released until `due`.
fn wait_behind_the_first(assignment: &mut Assignment, count: usize, due: Timestamp) {
    let first = assignment.receive(0, STAMP, record(Some("k")), &time(), time().now());
    assert!(matches!(first, Next::Deliver(_)), "{first:?}");
    assert_eq!(assignment.park_released(0, due, &[]), Some(due));
    for offset in (1..).take(count) {
        assignment.receive(offset, STAMP, record(Some("k")), &time(), time().now());
        if offset % 200 == 0 {
            hand_out(assignment);
        }
    }
    // Until the window of records that may start contains them all.
    for _ in 0..20 {
        hand_out(assignment);
    }
}

#[test]
fn others_are_fetched_while_a_thousand_wait_behind_one_of_their_key() {
    let mut assignment = started();
    let due = Timestamp::from_millis(60_000);
    wait_behind_the_first(&mut assignment, 5_000, due);
    assert!(!assignment.is_full());
    let other = assignment.receive(5_001, STAMP, record(Some("other")), &time(), time().now());
    let (given, _) = hand_out(&mut assignment);
    assert!(
        matches!(other, Next::Deliver(_)) || given == [5_001],
        "{other:?} {given:?}"
    );
}

#[test]
fn no_more_is_fetched_when_too_much_waits_behind_one_of_its_key() {
    let mut assignment = started();
    let due = Timestamp::from_millis(60_000);
    wait_behind_the_first(&mut assignment, BEHIND, due);
    assert!(assignment.is_full());
    assert_eq!(assignment.handle_timer(0, due).len(), BEHIND + 1);
    assert!(assignment.has_room());
}

/// Confirms a commit, and delivers the records that it allows.
fn hand_out(assignment: &mut Assignment) -> (Vec<i64>, crate::progress::Commit) {
    let mut given = Vec::new();
    while let Some((offset, next)) = assignment.next_pending(Timestamp::default()) {
        if let Next::Deliver(_) = next {
            given.push(offset);
        }
    }
    let progress = assignment.progress.as_mut().unwrap();
    let commit = progress.commit().unwrap();
    progress.confirm(&commit);
    (given, commit)
}

#[test]
fn what_arrived_before_the_progress_is_read_is_handed_out_once_it_is() {
    let mut assignment = assignment(None);
    let now = Timestamp::default();
    for offset in 0..300 {
        assignment.receive(offset, STAMP, record(None), &time(), time().now());
    }
    let progress =
        PartitionProgress::take_over(Some(0), "", WriterId::new(), MetadataBudget::default());
    assignment.begin(progress);
    while assignment.next_pending(now).is_some() {}
    assignment.receive(300, STAMP, record(None), &time(), time().now());
    let (mut given, mut all) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let commit;
        (given, commit) = hand_out(&mut assignment);
        assert!(given.iter().all(|offset| *offset >= commit.offset));
        all.append(&mut given);
    }
    assert!(given.is_empty());
    assert_eq!(all, (0..=300).collect::<Vec<_>>());
}
