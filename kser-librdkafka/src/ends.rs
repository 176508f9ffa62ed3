use std::slice;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_ListOffsets, rd_kafka_ListOffsets_result_infos,
    rd_kafka_ListOffsetsResultInfo_topic_partition, rd_kafka_admin_op_t,
    rd_kafka_event_ListOffsets_result,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::admin::{answer, millis, options, queue};
use crate::partitions::read;

/// Where the log of a partition ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEnd {
    /// The name of the topic.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// The offset behind the last record, or why it cannot be told now.
    pub end: Result<i64, RDKafkaErrorCode>,
}

/// Asks where the logs of partitions end, the records of open transactions included, and waits up to `limit` for the answer.
/// A partition may be named once only.
///
/// rdkafka's own calls tell a consumer of committed records only how far it can read: up to the first open transaction.
///
/// # Errors
///
/// The answer is an error when there is none within the limit, or the request is refused.
///
/// # Panics
///
/// If the name of a topic has a zero byte.
pub fn log_ends<C: ClientContext>(
    client: &Client<C>,
    partitions: &[(&str, i32)],
    limit: Duration,
) -> KafkaResult<Vec<LogEnd>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    let millis = millis(limit);
    // Unless it is told otherwise, the request reads uncommitted records as well.
    let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let options = options(client, operation, millis)?;
    let queue = queue(client)?;
    // SAFETY: All four are alive. The call copies the list and the options; the answer holds the queue by a reference of its
    // own, and is dropped if the queue is gone.
    unsafe {
        rd_kafka_ListOffsets(
            client.native_ptr(),
            list.ptr(),
            options.pointer.as_ptr(),
            queue.pointer.as_ptr(),
        );
    }
    let event = answer(&queue, millis)?;
    // SAFETY: The event is alive. If it were of another kind, this would be null.
    let result = unsafe { rd_kafka_event_ListOffsets_result(event.pointer.as_ptr()) };
    if result.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
    }
    let mut count = 0;
    // SAFETY: The result is not null, and lives as long as the event.
    let first = unsafe { rd_kafka_ListOffsets_result_infos(result, &raw mut count) };
    let found = match first.is_null() {
        true => &[][..],
        // SAFETY: The result has an array of `count` pointers, which lives as long as the event.
        false => unsafe { slice::from_raw_parts(first, count) },
    };
    let ends = found.iter().map(|info| {
        // SAFETY: Each pointer of the array is to an information that lives as long as the event.
        let entry = unsafe { rd_kafka_ListOffsetsResultInfo_topic_partition(*info) };
        // SAFETY: An information has a partition, which lives as long as it does.
        let entry = read(unsafe { &*entry });
        let end = match (entry.error, entry.offset) {
            (None, Offset::Offset(end)) => Ok(end),
            (error, _) => Err(error.unwrap_or(RDKafkaErrorCode::OffsetNotAvailable)),
        };
        LogEnd {
            topic: entry.topic.to_owned(),
            partition: entry.partition,
            end,
        }
    });
    Ok(ends.collect())
}
