//! The counting of crashed deliveries.

use super::*;

/// Lets one owner after another take these records over, start them, and crash. Returns the last commit.
fn died_with(offsets: Range<i64>, times: usize) -> Commit {
    let mut last = confirm(&mut received(offsets.clone()));
    for _ in 1..times {
        let mut progress = succeed(&last);
        delivered(&mut progress, offsets.clone());
        last = confirm(&mut progress);
    }
    last
}

#[test]
fn nothing_begins_before_the_first_commit_is_confirmed() {
    let mut progress = received(0..3);
    let commit = progress.commit().expect("it has a start");
    assert!(!progress.may_begin(0));
    progress.confirm(&commit);
    assert!(progress.may_begin(0) && progress.may_begin(200));
    let successor = succeed(&commit);
    assert!(!successor.may_begin(0));
}

#[test]
fn each_death_counts_what_may_have_begun_until_it_is_a_suspect() {
    let commit = died_with(0..3, 1);
    assert_eq!(succeed(&commit).receive(2), Some(1));
    for times in 2..5 {
        let mut successor = succeed(&died_with(0..3, times));
        assert_eq!(
            (successor.receive(0), successor.receive(2)),
            (Some(2), Some(2))
        );
        assert_eq!(successor.n_suspects(), 2);
    }
}

#[test]
fn what_could_not_have_begun_is_not_counted() {
    let mut successor = succeed(&died_with(0..3, 2));
    let end = 3 + Window::SMALLEST;
    assert_eq!(
        (successor.receive(end - 1), successor.receive(end)),
        (Some(2), Some(0))
    );
    let mut successor = succeed(&died_with(0..3, 2));
    successor.note_log_end(2);
    assert_eq!(
        (successor.receive(1), successor.receive(2)),
        (Some(2), Some(0))
    );
}

#[test]
fn a_record_beyond_the_second_window_keeps_the_count_of_the_first() {
    let mut first = received(0..600);
    let ahead = confirm(&mut first).ahead;
    let mut second = succeed(&first.commit().expect("it has a start"));
    second.receive(0);
    let narrower = confirm(&mut second).ahead;
    assert!(narrower < ahead);
    let mut third = succeed(&second.commit().expect("it has a start"));
    assert_eq!(
        (third.receive(narrower - 1), third.receive(narrower)),
        (Some(2), Some(1))
    );
}

/// Lets an owner start these records, and lose the partition. Returns its commit.
fn lost(commit: &Commit, writer: WriterId) -> Commit {
    let mut progress = take_over(commit, writer);
    delivered(&mut progress, 0..3);
    confirm(&mut progress)
}

#[test]
fn an_owner_that_lost_its_partition_and_has_it_again_counts_nothing() {
    let writer = WriterId::new();
    let mut last = died_with(0..3, 1);
    for _ in 0..5 {
        last = lost(&last, writer);
        assert_eq!(take_over(&last, writer).receive(1), Some(1));
    }
    // For any other member it is a crash.
    assert_eq!(succeed(&last).receive(1), Some(2));
}

#[test]
fn a_suspect_that_was_begun_under_a_lost_partition_is_not_counted_by_its_owner() {
    let writer = WriterId::new();
    let mut progress = take_over(&died_with(0..3, 2), writer);
    delivered(&mut progress, 0..3);
    progress.begin(1);
    let last = confirm(&mut progress);
    assert_eq!(take_over(&last, writer).receive(1), Some(2));
    assert_eq!(succeed(&last).receive(1), Some(3));
}

#[test]
fn a_death_between_two_times_of_an_owner_is_counted() {
    let writer = WriterId::new();
    let nothing = start().final_commit().expect("it has a start");
    let first = lost(&nothing, writer);
    let last = lost(&first, WriterId::new());
    assert_eq!(take_over(&last, writer).receive(1), Some(2));
}

#[test]
fn a_goodbye_counts_nothing_and_keeps_what_was_counted() {
    let mut progress = succeed(&died_with(0..3, 1));
    delivered(&mut progress, 0..100);
    let end = confirm(&mut progress).ahead;
    let mut successor = succeed(&progress.final_commit().expect("it has a start"));
    assert_eq!(
        (successor.receive(0), successor.receive(end - 1)),
        (Some(1), Some(0))
    );
}

#[test]
fn after_a_goodbye_nothing_begins_and_every_commit_says_it() {
    let mut progress = received(0..3);
    confirm(&mut progress);
    let last = progress.final_commit().expect("it has a start");
    progress.confirm(&last);
    assert!(!progress.may_begin(0) && !progress.has_changes() && !progress.is_urgent());
    progress.mark_done(0);
    assert!(progress.has_changes());
    let commit = confirm(&mut progress);
    assert_eq!((commit.offset, succeed(&commit).receive(1)), (1, Some(0)));
}

#[test]
fn a_suspect_begins_only_after_a_commit_that_names_it_is_confirmed() {
    let mut progress = succeed(&died_with(0..3, 2));
    delivered(&mut progress, 0..3);
    let before = confirm(&mut progress);
    assert!(!progress.may_begin(1));
    progress.begin(1);
    assert!(progress.is_urgent());
    progress.confirm(&before);
    let named = progress.commit().expect("it has a start");
    assert!(!progress.may_begin(1));
    progress.confirm(&named);
    assert!(progress.may_begin(1) && !progress.may_begin(0) && !progress.is_urgent());
}

#[test]
fn only_a_suspect_that_was_begun_is_counted_further() {
    let mut last = died_with(0..3, 2);
    for count in 3..6 {
        let mut progress = succeed(&last);
        delivered(&mut progress, 0..3);
        progress.begin(1);
        last = confirm(&mut progress);
        let mut successor = succeed(&last);
        assert_eq!(
            [0, 1, 2].map(|offset| successor.receive(offset)),
            [Some(2), Some(count), Some(2)]
        );
    }
}

/// Lets the next owner start these records, and crash. Returns its commit.
fn dies_with_begun(last: &Commit, begun: Range<i64>) -> Commit {
    let mut progress = succeed(last);
    delivered(&mut progress, 0..40);
    begun.for_each(|offset| progress.begin(offset));
    confirm(&mut progress)
}

#[test]
fn a_suspect_that_waited_keeps_its_count() {
    let last = dies_with_begun(&died_with(0..40, 2), 1..2);
    let last = dies_with_begun(&last, 3..4);
    let mut successor = succeed(&last);
    assert_eq!(
        [0, 1, 2, 3].map(|offset| successor.receive(offset)),
        [2, 3, 2, 3].map(Some)
    );
}

#[test]
fn the_highest_counts_are_kept_when_not_all_fit_and_the_others_stay_suspects() {
    let last = dies_with_begun(&died_with(0..40, 2), 10..29);
    let last = dies_with_begun(&last, 25..29);
    let last = dies_with_begun(&last, 0..10);
    let mut successor = succeed(&last);
    let counts: Vec<u32> = (0..40)
        .filter_map(|offset| successor.receive(offset))
        .collect();
    assert_eq!(
        (&counts[..10], &counts[25..29]),
        ([3; 10].as_slice(), [4; 4].as_slice())
    );
    assert!(counts[10..25].contains(&2) && counts[10..25].contains(&3));
}

#[test]
fn a_count_of_its_own_outlives_that_a_suspect_is_given_back() {
    let last = dies_with_begun(&died_with(0..40, 2), 1..2);
    let mut progress = succeed(&last);
    delivered(&mut progress, 0..40);
    progress.begin(1);
    confirm(&mut progress);
    progress.release(1, 0);
    let mut successor = succeed(&confirm(&mut progress));
    assert_eq!(successor.receive(1), Some(3));
}

#[test]
fn a_suspect_beyond_the_end_of_the_log_is_forgotten() {
    let mut progress = succeed(&dies_with_begun(&died_with(0..40, 2), 5..6));
    progress.note_log_end(5);
    let commit = confirm(&mut progress);
    let read = CommitMetadata::decode(commit.offset, commit.metadata.as_bytes()).expect("ours");
    assert_eq!(read.suspects, Vec::new());
}

#[test]
fn a_suspect_that_is_passed_takes_no_room() {
    let last = dies_with_begun(&died_with(0..40, 2), 0..1);
    // Its record has expired since.
    let mut progress = succeed(&last);
    progress.receive(30);
    let commit = confirm(&mut progress);
    let read = CommitMetadata::decode(commit.offset, commit.metadata.as_bytes()).expect("ours");
    assert_eq!((commit.offset, read.suspects), (30, Vec::new()));
}

#[test]
fn a_suspect_that_was_given_back_is_not_counted() {
    let mut progress = succeed(&died_with(0..3, 2));
    delivered(&mut progress, 0..3);
    progress.begin(1);
    let named = confirm(&mut progress);
    progress.release(1, 0);
    assert!(!progress.may_begin(1));
    let released = confirm(&mut progress);
    assert_eq!(succeed(&released).receive(1), Some(2));
    // The commit for its first run does not allow a second one.
    progress.begin(1);
    progress.confirm(&named);
    assert!(!progress.may_begin(1));
}

#[test]
fn a_suspect_that_is_done_is_forgotten() {
    let mut progress = succeed(&died_with(0..3, 2));
    delivered(&mut progress, 0..3);
    progress.begin(1);
    confirm(&mut progress);
    progress.mark_done(1);
    let commit = confirm(&mut progress);
    assert_eq!(
        (
            delivered(&mut succeed(&commit), 0..3),
            progress.n_suspects()
        ),
        (vec![0, 2], 2)
    );
}

#[test]
fn a_goodbye_of_a_suspect_that_runs_does_not_count_it() {
    let mut progress = succeed(&died_with(0..3, 2));
    delivered(&mut progress, 0..3);
    progress.begin(1);
    confirm(&mut progress);
    assert_eq!(
        succeed(&progress.final_commit().expect("it has a start")).receive(1),
        Some(2)
    );
}

#[test]
fn suspects_that_do_not_fit_wait_and_take_their_turn() {
    let mut progress = succeed(&died_with(0..40, 2));
    delivered(&mut progress, 0..40);
    (0..40).for_each(|offset| progress.begin(offset));
    confirm(&mut progress);
    let begun = |progress: &PartitionProgress| {
        (0..40).filter(|offset| progress.may_begin(*offset)).count() as i64
    };
    let room = begun(&progress);
    assert!((10..40).contains(&room), "{room} have room");
    progress.mark_done(5);
    assert!(progress.is_urgent());
    confirm(&mut progress);
    assert!(progress.may_begin(room) && begun(&progress) == room);
}

#[test]
fn the_window_grows_when_records_wait_and_shrinks_when_they_are_few() {
    let mut progress = start();
    let mut at = 0;
    let mut receive = |progress: &mut PartitionProgress, n| {
        for offset in at..at + n {
            progress.receive(offset);
            progress.mark_done(offset);
        }
        at += n;
        confirm(progress).ahead - at
    };
    assert_eq!(receive(&mut progress, 0), 256);
    assert_eq!(receive(&mut progress, 257), 512);
    assert_eq!(receive(&mut progress, 512), 512);
    let grown: Vec<i64> = (0..6).map(|_| receive(&mut progress, 40_000)).collect();
    assert_eq!(grown, [1_024, 2_048, 4_096, 8_192, 16_384, 16_384]);
    assert_eq!(receive(&mut progress, 4_096), 16_384);
    let shrunk = (0..400).map(|_| receive(&mut progress, 50)).last();
    assert!(
        shrunk.is_some_and(|ahead| (256..=306).contains(&ahead)),
        "{shrunk:?}"
    );
}

#[test]
fn failed_attempts_of_what_was_given_back_outlive_a_stop() {
    let mut progress = received(0..5);
    progress.release(1, 2);
    progress.release(3, 7);
    progress.release(4, 1);
    progress.release(1, 3);
    progress.mark_done(4);
    let last = progress.final_commit().expect("it has a start");
    let failed = |progress: &PartitionProgress| [0, 1, 2, 3, 4].map(|at| progress.n_failed(at));
    assert_eq!(failed(&progress), [0, 3, 0, 7, 0]);
    let mut successor = succeed(&last);
    assert_eq!(failed(&successor), [0, 3, 0, 7, 0]);
    // The counts stay until the record is done, also over a crash.
    delivered(&mut successor, 0..5);
    let mut last = succeed(&confirm(&mut successor));
    assert_eq!(failed(&last), [0, 3, 0, 7, 0]);
    last.note_log_end(3);
    assert_eq!(failed(&last), [0, 3, 0, 0, 0]);
}

#[test]
fn failed_attempts_take_no_room_of_what_is_done() {
    // Every second record is done, and the others failed: the metadata has no room for all.
    let mut progress = received(0..2_000);
    for offset in 0..2_000 {
        match offset % 2 {
            0 => progress.release(offset, 1),
            _ => progress.mark_done(offset),
        }
    }
    let with = progress.final_commit().expect("it has a start");
    let (mut before, mut after) = (received(0..2_000), succeed(&with));
    (1..2_000)
        .step_by(2)
        .for_each(|offset| before.mark_done(offset));
    let mut without = succeed(&before.final_commit().expect("it has a start"));
    let done = |progress: &mut PartitionProgress| delivered(progress, 0..2_000);
    assert_eq!(done(&mut after), done(&mut without));
    // Counts that do not fit start again.
    let mut narrow = received(0..300);
    (0..300).for_each(|offset| narrow.release(offset, 1));
    let successor = succeed(&narrow.final_commit().expect("it has a start"));
    let kept = (0..300).filter(|offset| successor.n_failed(*offset) > 0);
    let kept: Vec<i64> = kept.collect();
    assert!((50..300).contains(&kept.len()), "{} are kept", kept.len());
    assert_eq!(kept, (0..kept.len() as i64).collect::<Vec<_>>());
}
