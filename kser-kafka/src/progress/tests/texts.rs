//! The metadata itself: its versions, its topic, and its length.

use data_encoding::BASE64_NOPAD;
use proptest::prelude::*;

use super::seal::seal_as_before;
use super::*;

fn decoded(text: &str) -> Vec<u8> {
    BASE64_NOPAD.decode(text.as_bytes()).expect("base64")
}

/// Makes the metadata of an earlier release: without a topic, and with 64 bits of the writer.
fn text_as_before(base: i64, metadata: &CommitMetadata) -> String {
    let latest = decoded(&metadata.encode(base, MetadataBudget::default()).text);
    let latest = seal::unseal(base, &latest).expect("for this offset");
    let mut body = metadata.writer.to_le_bytes().to_vec();
    body.extend_from_slice(&latest.body[4..]);
    BASE64_NOPAD.encode(&seal_as_before(base, latest.flags, &body))
}

prop_compose! {
    fn metadata()(
        writer: u32,
        is_final: bool,
        ahead in 1_000..1_900_i64,
        once in 1_000..1_900_i64,
        twice in 1_000..1_900_i64,
        ends in prop::collection::btree_set(1..500_i64, 0..20),
        failed in prop::collection::btree_map(1_000..2_000_i64, 1_u32.., 0..20),
    ) -> CommitMetadata {
        let ends: Vec<_> = ends.into_iter().collect();
        let mut counts = Failed::default();
        for (offset, count) in failed {
            counts.note(offset, count);
        }
        let runs = ends.chunks_exact(2).map(|pair| 1_000 + pair[0]..1_000 + pair[1]);
        CommitMetadata {
            writer: writer.into(),
            is_final,
            ahead,
            once,
            twice,
            failed: counts,
            done: runs.collect(),
            ..CommitMetadata::default()
        }
    }
}

proptest! {
    #[test]
    fn a_text_is_read_as_it_was_written(metadata in metadata(), topic: Option<u128>) {
        let topic = topic.map(TopicMark::new);
        let metadata = CommitMetadata { topic, ..metadata };
        let text = metadata.encode(1_000, MetadataBudget::default()).text;
        prop_assert_eq!(CommitMetadata::decode(1_000, text.as_bytes()), Some(metadata));
        prop_assert_eq!(CommitMetadata::decode(1_001, text.as_bytes()), None);
        prop_assert_eq!(PartitionProgress::topic_of(1_000, &text), topic);
    }

    #[test]
    fn a_text_of_an_earlier_release_is_read_and_names_no_topic(metadata in metadata(), high: u32) {
        let writer = metadata.writer | u64::from(high) << 32;
        let failed = Failed::default();
        let metadata = CommitMetadata { writer, failed, ..metadata };
        let text = text_as_before(1_000, &metadata);
        prop_assert_eq!(CommitMetadata::decode(1_000, text.as_bytes()), Some(metadata));
        prop_assert_eq!(CommitMetadata::decode(1_001, text.as_bytes()), None);
        prop_assert_eq!(PartitionProgress::topic_of(1_000, &text), None);
    }
}

#[test]
fn a_text_that_an_earlier_release_wrote_is_read() {
    // Offset 1000; 1002 to 1004 are done; records below 1300 may have started.
    let text = "AeovU+gTiX1SAu/Nq4lnRSMBrAIAAAAO";
    let read = CommitMetadata::decode(1_000, text.as_bytes()).expect("a text of version 1");
    assert_eq!((read.writer, read.ahead), (0x0123_4567_89ab_cdef, 1_300));
    let done: Vec<_> = read.done.into_iter().flatten().collect();
    assert_eq!((read.topic, done), (None, vec![1_002, 1_003, 1_004]));
    let mut progress = PartitionProgress::take_over(
        Some(1_000),
        text,
        WriterId::new(),
        MetadataBudget::default(),
    );
    assert_eq!(
        delivered(&mut progress, 1_000..1_007),
        [1_000, 1_001, 1_005, 1_006]
    );
}

#[test]
fn a_text_names_the_topic_that_was_told_last() {
    let mut progress = received(0..3);
    let topic = |progress: &mut PartitionProgress| {
        let commit = confirm(progress);
        PartitionProgress::topic_of(commit.offset, &commit.metadata)
    };
    assert_eq!(topic(&mut progress), None);
    let (first, second) = (TopicMark::new(1), TopicMark::new(2));
    for mark in [first, second] {
        progress.set_topic(mark);
        assert!(progress.has_changes());
        assert_eq!(topic(&mut progress), Some(mark));
        progress.set_topic(mark);
        assert!(!progress.has_changes());
    }
}

#[test]
fn the_text_of_a_partition_in_order_is_short() {
    let mut progress = received(0..100);
    progress.set_topic(TopicMark::new(u128::MAX - 1));
    (0..100).for_each(|offset| progress.mark_done(offset));
    let commit = confirm(&mut progress);
    assert!(commit.metadata.len() <= 30, "{}", commit.metadata);
}

#[test]
fn ids_of_topics_that_differ_have_marks_that_differ() {
    let id = 0x1234_5678_9abc_4def_8123_4567_89ab_cdef_u128;
    for bit in 0..128 {
        assert_ne!(TopicMark::new(id), TopicMark::new(id ^ 1 << bit));
    }
}

#[test]
fn a_text_that_is_no_strict_base64_is_not_read() {
    let text = CommitMetadata::default()
        .encode(0, MetadataBudget::default())
        .text;
    assert!(CommitMetadata::decode(0, text.as_bytes()).is_some());
    let (rest, last) = text.split_at(text.len() - 1);
    // The last digit has two or four bits that no byte has: they must be zero.
    assert!(text.len() % 4 > 1, "{text}");
    let next = char::from(last.as_bytes()[0] + 1);
    for other in [
        format!("{rest}{next}"),
        format!("{text}="),
        format!("{text}\n"),
        rest.to_owned(),
    ] {
        assert_eq!(
            CommitMetadata::decode(0, other.as_bytes()),
            None,
            "{other:?}"
        );
    }
}

#[test]
fn as_many_bytes_are_reckoned_as_fit_into_a_text() {
    for bytes in 0..100 {
        let text = BASE64_NOPAD.encode(&vec![0; bytes]);
        assert_eq!(metadata::bytes_in(text.len()), bytes);
    }
}
