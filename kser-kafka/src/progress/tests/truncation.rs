//! Done records that the log does not have any more.

use super::*;

/// Makes the commit of a member that received 0..20 of this epoch, of which all are done but 10, 12 and 15.
fn commit_of_epoch(epoch: i32) -> Commit {
    let mut progress = received(0..20);
    for offset in 0..20 {
        progress.note_epoch(offset, epoch);
        if ![10, 12, 15].contains(&offset) {
            progress.mark_done(offset);
        }
    }
    let commit = confirm(&mut progress);
    assert_eq!((commit.offset, commit.epoch), (10, Some(epoch)));
    commit
}

fn successor_of(commit: &Commit) -> PartitionProgress {
    let mut progress = succeed(commit);
    progress.set_epoch(commit.epoch);
    progress
}

/// Returns those of the records of one epoch that the next owner has to deliver.
fn delivered_under(
    progress: &mut PartitionProgress,
    epoch: i32,
    offsets: impl IntoIterator<Item = i64>,
) -> Vec<i64> {
    let delivered = offsets.into_iter().filter(|offset| {
        progress.note_epoch(*offset, epoch);
        progress.receive(*offset).is_some()
    });
    delivered.collect()
}

#[test]
fn a_record_of_the_same_epoch_or_an_earlier_one_is_done() {
    for epoch in [4, 5] {
        let mut progress = successor_of(&commit_of_epoch(5));
        assert_eq!(
            delivered_under(&mut progress, epoch, 10..22),
            [10, 12, 15, 20, 21]
        );
    }
}

#[test]
fn no_record_of_a_later_epoch_is_done() {
    // The log was truncated at each of these offsets, and other records were written there.
    for cut in 10..=20 {
        let mut progress = successor_of(&commit_of_epoch(5));
        let before = delivered_under(&mut progress, 5, 10..cut);
        let expected: Vec<_> = [10, 12, 15]
            .into_iter()
            .filter(|offset| *offset < cut)
            .collect();
        assert_eq!(before, expected, "cut at {cut}");
        let after = delivered_under(&mut progress, 6, cut..25);
        assert_eq!(after, (cut..25).collect::<Vec<_>>(), "cut at {cut}");
        // The owner after it has to deliver the same.
        let commit = confirm(&mut progress);
        assert_eq!(commit.epoch, Some(6));
        let all = before.into_iter().chain(after).collect::<Vec<_>>();
        assert_eq!(
            delivered_under(&mut successor_of(&commit), 6, 10..25),
            all,
            "cut at {cut}"
        );
    }
}

#[test]
fn a_record_of_a_later_epoch_keeps_its_count() {
    let mut progress = successor_of(&commit_of_epoch(5));
    progress.note_epoch(20, 6);
    // The record was allowed to start under the owner that crashed.
    assert_eq!(progress.receive(20), Some(1));
}

#[test]
fn a_commit_without_an_epoch_binds_nothing() {
    let commit = Commit {
        epoch: None,
        ..commit_of_epoch(5)
    };
    let mut progress = successor_of(&commit);
    assert_eq!(delivered_under(&mut progress, 6, 10..20), [10, 12, 15]);
    assert_eq!(confirm(&mut progress).epoch, Some(6));
}

#[test]
fn nothing_beyond_the_end_of_the_log_is_done() {
    for end in 10..=20 {
        let mut progress = succeed(&commit_of_epoch(5));
        progress.note_log_end(end);
        let expected = (10..25).filter(|offset| [10, 12, 15].contains(offset) || *offset >= end);
        assert_eq!(
            delivered(&mut progress, 10..25),
            expected.collect::<Vec<_>>(),
            "it ends at {end}"
        );
    }
}

#[test]
fn done_records_that_are_lost_are_told_once() {
    let mut progress = successor_of(&commit_of_epoch(5));
    assert!(!progress.note_epoch(10, 5));
    progress.receive(10);
    // The record was done, and is another one now.
    assert!(progress.note_epoch(11, 6));
    progress.receive(11);
    assert!(!progress.note_epoch(12, 6));
    let mut whole = successor_of(&commit_of_epoch(5));
    delivered_under(&mut whole, 5, 10..20);
    assert!(!whole.note_epoch(20, 6));
    let mut ended = succeed(&commit_of_epoch(5));
    let told = [25, 20, 19, 19, 10].map(|end| ended.note_log_end(end));
    assert_eq!(told, [false, false, true, false, true]);
}
