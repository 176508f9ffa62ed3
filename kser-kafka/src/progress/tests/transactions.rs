//! Commits of transactions, which say of records that they are done as if they were.

use super::*;

#[test]
fn nothing_is_left_of_a_commit_whose_transaction_is_aborted() {
    let mut progress = received(0..4);
    confirm(&mut progress);
    let aborted = progress.commit_with(&[0, 2]).expect("it has a start");
    assert_eq!(aborted.offset, 1);
    let metadata = aborted.metadata.as_bytes();
    let above = PartitionProgress::settled_above(1, metadata);
    assert_eq!(above, [Range { start: 2, end: 3 }]);
    assert!(progress.holds(0) && progress.holds(2));
    let next = progress.commit_with(&[2]).expect("it has a start");
    assert_eq!(next.offset, 0);
    let mut successor = succeed(&next);
    assert_eq!(delivered(&mut successor, 0..5), [0, 1, 3, 4]);
}

#[test]
fn records_of_a_committed_transaction_are_no_change() {
    let mut progress = received(0..3);
    confirm(&mut progress);
    let commit = progress.commit_with(&[0, 1]).expect("it has a start");
    // Another record ends before the transaction is committed.
    progress.mark_done(2);
    progress.mark_committed(0);
    progress.mark_committed(1);
    progress.confirm(&commit);
    assert_eq!(progress.first_not_done(), Some(3));
    assert!(progress.has_changes(), "the other record");
    confirm(&mut progress);
    assert!(!progress.has_changes());
    assert_eq!(progress.receive(3), Some(0));
    let commit = progress.commit_with(&[3]).expect("it has a start");
    progress.mark_committed(3);
    progress.confirm(&commit);
    assert!(!progress.has_changes());
}

#[test]
fn a_suspect_may_begin_once_the_transaction_that_names_it_is_committed() {
    let mut first = succeed(&confirm(&mut received(0..3)));
    delivered(&mut first, 0..3);
    let mut progress = succeed(&confirm(&mut first));
    assert_eq!(progress.receive(0), Some(2));
    assert_eq!(progress.receive(1), Some(2));
    confirm(&mut progress);
    progress.begin(1);
    let commit = progress.commit_with(&[0]).expect("it has a start");
    assert!(!progress.may_begin(1));
    progress.mark_committed(0);
    progress.confirm(&commit);
    assert!(progress.may_begin(1));
}
