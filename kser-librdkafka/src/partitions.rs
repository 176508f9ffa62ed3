use std::ffi::CStr;
use std::slice;

use rdkafka::bindings::{
    rd_kafka_topic_partition_get_leader_epoch, rd_kafka_topic_partition_set_leader_epoch,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaRespErr, RDKafkaTopicPartition};
use rdkafka::{Offset, TopicPartitionList};

/// An entry of a list of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition<'l> {
    /// The name of the topic.
    pub topic: &'l str,
    /// The number of the partition.
    pub partition: i32,
    /// The offset, such as the committed one.
    pub offset: Offset,
    /// The leader epoch that goes with the offset; `None` when there is none.
    pub leader_epoch: Option<i32>,
    /// The text beside a committed offset. Need not be UTF-8.
    pub metadata: &'l [u8],
    /// Why the rest could not be told.
    pub error: Option<RDKafkaErrorCode>,
}

/// Returns the entries of a list, in order.
///
/// rdkafka's own `TopicPartitionListElem::metadata` panics at a text that is not UTF-8, and the leader epoch is not to be
/// had there.
///
/// # Panics
///
/// If the name of a topic is not UTF-8. Kafka allows letters, digits, dots, underscores and hyphens only.
pub fn partitions(list: &TopicPartitionList) -> Vec<Partition<'_>> {
    (0..list.count())
        .map(|index| read(&entries(list)[index]))
        .collect()
}

/// Sets the leader epoch of an entry, by its index: it is committed with the offset, and a consumer that seeks the offset
/// checks with it whether the log was truncated below. One that is assigned the offset does so only
/// once its client learns of a later leader epoch of the partition than it knew (sources of librdkafka 2.12.1:
/// `rd_kafka_toppar_leader_update`).
///
/// # Panics
///
/// If the list has no such entry.
pub fn set_leader_epoch(list: &mut TopicPartitionList, index: usize, epoch: i32) {
    let entry = &raw mut entries_mut(list)[index];
    // SAFETY: The entry is one of the list, which is borrowed mutably, so that nothing else refers to it.
    unsafe { rd_kafka_topic_partition_set_leader_epoch(entry, epoch) };
}

fn entries(list: &TopicPartitionList) -> &[RDKafkaTopicPartition] {
    // SAFETY: The list is alive, since it is borrowed for as long as the result, and no code changes it meanwhile.
    let list = unsafe { &*list.ptr() };
    let Ok(count @ 1..) = usize::try_from(list.cnt) else {
        return &[];
    };
    // SAFETY: A list that is not empty has an array of at least `cnt` entries, which are initialized.
    unsafe { slice::from_raw_parts(list.elems, count) }
}

fn entries_mut(list: &mut TopicPartitionList) -> &mut [RDKafkaTopicPartition] {
    // SAFETY: The list is alive, since it is borrowed mutably for as long as the result, which is the only reference.
    let list = unsafe { &mut *list.ptr() };
    let Ok(count @ 1..) = usize::try_from(list.cnt) else {
        return &mut [];
    };
    // SAFETY: A list that is not empty has an array of at least `cnt` entries, which are initialized.
    unsafe { slice::from_raw_parts_mut(list.elems, count) }
}

pub(crate) fn read(entry: &RDKafkaTopicPartition) -> Partition<'_> {
    // SAFETY: Each entry of a list owns the C string of its topic.
    let topic = unsafe { CStr::from_ptr(entry.topic) };
    let topic = topic.to_str().expect("names of topics are ASCII");
    // SAFETY: The entry is alive, since it is borrowed, and is only read.
    let epoch = unsafe { rd_kafka_topic_partition_get_leader_epoch(entry) };
    let metadata = match entry.metadata.is_null() {
        true => &[][..],
        // SAFETY: The text of an entry, if it has one, is of `metadata_size` bytes that belong to the entry.
        false => unsafe { slice::from_raw_parts(entry.metadata.cast::<u8>(), entry.metadata_size) },
    };
    let failed = entry.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    Partition {
        topic,
        partition: entry.partition,
        offset: Offset::from_raw(entry.offset),
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata,
        error: failed.then(|| entry.err.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut list = TopicPartitionList::new();
        assert!(partitions(&list).is_empty());
        list.add_partition("a", 1);
        let mut entry = list.add_partition("b", 2);
        entry.set_offset(Offset::Offset(7)).expect("a valid offset");
        entry.set_metadata("text");
        set_leader_epoch(&mut list, 1, 5);
        let [first, second] = partitions(&list)[..] else {
            panic!("{list:?}")
        };
        assert_eq!(
            (first.topic, first.partition, first.offset),
            ("a", 1, Offset::Invalid)
        );
        assert_eq!(
            (first.leader_epoch, first.metadata, first.error),
            (None, &[][..], None)
        );
        assert_eq!(
            (second.topic, second.partition, second.offset),
            ("b", 2, Offset::Offset(7))
        );
        assert_eq!(
            (second.leader_epoch, second.metadata, second.error),
            (Some(5), &b"text"[..], None)
        );
    }

    #[test]
    fn an_epoch_is_kept_in_a_copy_of_the_list_and_replaced() {
        let mut list = TopicPartitionList::new();
        list.add_partition("a", 0);
        set_leader_epoch(&mut list, 0, 5);
        let copy = list.clone();
        set_leader_epoch(&mut list, 0, 6);
        assert_eq!(partitions(&copy)[0].leader_epoch, Some(5));
        assert_eq!(partitions(&list)[0].leader_epoch, Some(6));
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn an_entry_that_is_not_there_is_a_panic() {
        set_leader_epoch(&mut TopicPartitionList::new(), 0, 1);
    }
}
