//! Done records, and their description in commits.

use data_encoding::BASE64_NOPAD;

use super::*;

#[test]
fn a_commit_stops_at_the_first_record_that_is_not_done() {
    let mut progress = received(0..5);
    for offset in [0, 2, 4] {
        progress.mark_done(offset);
    }
    assert_eq!(confirm(&mut progress).offset, 1);
    progress.mark_done(1);
    assert_eq!(confirm(&mut progress).offset, 3);
    progress.mark_done(3);
    assert_eq!(confirm(&mut progress).offset, 5);
}

#[test]
fn a_restart_delivers_the_holes_and_what_follows() {
    let mut progress = received(10..20);
    for offset in [11, 12, 15, 19] {
        progress.mark_done(offset);
    }
    let mut successor = succeed(&confirm(&mut progress));
    assert_eq!(
        delivered(&mut successor, 10..23),
        [10, 13, 14, 16, 17, 18, 20, 21, 22]
    );
}

#[test]
fn what_a_predecessor_did_is_handed_on_before_it_is_passed() {
    let mut progress = received(0..9);
    for offset in [3, 4, 7] {
        progress.mark_done(offset);
    }
    let mut second = succeed(&confirm(&mut progress));
    let mut third = succeed(&confirm(&mut second));
    assert_eq!(delivered(&mut third, 0..9), [0, 1, 2, 5, 6, 8]);
}

#[test]
fn offsets_that_do_not_exist_do_not_stop_the_commit() {
    let mut progress = start();
    for offset in [3, 4, 9, 10] {
        assert_eq!(progress.receive(offset), Some(0));
    }
    for offset in [4, 9, 10] {
        progress.mark_done(offset);
    }
    assert_eq!(confirm(&mut progress).offset, 3);
    progress.mark_done(3);
    assert_eq!(confirm(&mut progress).offset, 11);
}

#[test]
fn a_record_that_is_done_or_held_is_not_delivered_again() {
    let mut progress = received(5..8);
    progress.mark_done(6);
    assert_eq!(delivered(&mut progress, 3..9), [8]);
}

#[test]
fn done_is_said_twice_or_of_an_unknown_record_without_effect() {
    let mut progress = received(0..3);
    progress.mark_done(1);
    progress.mark_done(1);
    progress.mark_done(7);
    assert_eq!(
        (progress.n_held(), progress.oldest_held(), progress.next()),
        (2, Some(0), Some(3))
    );
}

#[test]
fn a_group_without_an_offset_starts_at_the_first_record() {
    let mut progress =
        PartitionProgress::take_over(None, "", WriterId::new(), MetadataBudget::default());
    assert_eq!((progress.commit(), progress.final_commit()), (None, None));
    let mut progress =
        PartitionProgress::take_over(None, "", WriterId::new(), MetadataBudget::default());
    assert!(!progress.has_changes() && !progress.is_urgent() && !progress.is_full());
    assert_eq!(progress.receive(40), Some(0));
    assert!(progress.has_changes());
    assert_eq!(confirm(&mut progress).offset, 40);
}

#[test]
fn a_slow_record_before_a_million_that_are_done_takes_a_few_bytes() {
    let mut progress = start();
    for offset in 0..1_000_000 {
        progress.receive(offset);
        let ended = offset - 1_000;
        progress.mark_done(if ended == 0 { offset } else { ended });
    }
    let commit = confirm(&mut progress);
    assert_eq!(
        (commit.offset, commit.is_complete, progress.is_full()),
        (0, true, false)
    );
    assert!(commit.metadata.len() < 50, "{}", commit.metadata.len());
    assert_eq!(delivered(&mut succeed(&commit), 0..1_000_000).len(), 1_001);
}

#[test]
fn a_full_map_says_so_before_anything_is_left_out() {
    let mut progress = received(0..3_000);
    let mut was_full = false;
    for offset in (1..3_000).step_by(2) {
        progress.mark_done(offset);
        let commit = confirm(&mut progress);
        assert!(commit.is_complete || was_full);
        assert!(commit.metadata.len() <= MetadataBudget::SMALLEST);
        was_full = progress.is_full();
    }
    assert!(was_full && !confirm(&mut progress).is_complete);
    for offset in (0..3_000).step_by(2) {
        progress.mark_done(offset);
    }
    assert!(!progress.is_full() && confirm(&mut progress).is_complete);
}

#[test]
fn what_a_map_leaves_out_runs_again_and_nothing_is_lost() {
    let mut progress = received(0..3_000);
    for offset in (1..3_000).step_by(2) {
        progress.mark_done(offset);
    }
    let commit = confirm(&mut progress);
    let again = delivered(&mut succeed(&commit), 0..3_000);
    let kept = 3_000 - again.len() as i64;
    assert!(kept > 500, "{kept} are in the map");
    let expected = (0..3_000).filter(|offset| offset % 2 == 0 || *offset > 2 * kept);
    assert_eq!(again, expected.collect::<Vec<_>>());
}

#[test]
fn a_text_that_is_not_ours_for_this_offset_says_nothing() {
    let mut progress = received(0..3);
    progress.mark_done(1);
    let commit = confirm(&mut progress);
    assert_eq!(delivered(&mut succeed(&commit), 0..3), [0, 2]);
    let mut newer = BASE64_NOPAD
        .decode(commit.metadata.as_bytes())
        .expect("base64");
    newer[0] += 1;
    let texts = [
        "NO_METADATA".to_owned(),
        "{\"host\":\"a\"}".to_owned(),
        BASE64_NOPAD.encode(&newer),
        commit.metadata[1..].to_owned(),
        commit.metadata[..commit.metadata.len() - 4].to_owned(),
        format!("{}AAAA", commit.metadata),
    ];
    for metadata in texts {
        let damaged = Commit {
            metadata,
            ..commit.clone()
        };
        assert_eq!(
            delivered(&mut succeed(&damaged), 0..3),
            [0, 1, 2],
            "{damaged:?}"
        );
    }
    let moved = Commit {
        offset: 1,
        ..commit
    };
    assert_eq!(delivered(&mut succeed(&moved), 1..3), [1, 2]);
}

#[test]
fn a_commit_is_wanted_until_what_it_says_is_confirmed() {
    let mut progress = received(0..3);
    assert!(progress.has_changes() && progress.is_urgent());
    let lost = progress.commit().expect("it has a start");
    assert!(progress.has_changes() && progress.is_urgent());
    let second = confirm(&mut progress);
    assert_eq!((&second.metadata, second.offset), (&lost.metadata, 0));
    assert!(!progress.has_changes() && !progress.is_urgent());
    progress.mark_done(2);
    assert!(progress.has_changes() && !progress.is_urgent());
    progress.confirm(&lost);
    assert!(progress.has_changes());
    confirm(&mut progress);
    progress.confirm(&lost);
    assert!(!progress.has_changes());
}

#[test]
fn a_budget_has_a_least_size() {
    assert_eq!(MetadataBudget::new(MetadataBudget::SMALLEST - 1), None);
    assert_eq!(MetadataBudget::new(4096), Some(MetadataBudget::default()));
}
