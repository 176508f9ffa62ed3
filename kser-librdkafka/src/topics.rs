use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::slice;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_set_broker, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error,
    rd_kafka_TopicDescription_name, rd_kafka_TopicDescription_t,
    rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
    rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_error_code,
    rd_kafka_event_DescribeTopics_result, rd_kafka_queue_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::admin::{Owned, answer, check, millis, no_memory, options, queue};

/// The id that brokers give a topic when it is created. A topic that is deleted and created again has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u128);

impl TopicId {
    /// Returns the id as a number. It is random and never zero.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TopicId {
    /// Writes the id as Kafka's tools do: 22 letters of URL-safe Base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0.to_be_bytes()))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// Asks a broker for the ids of topics, in one request, and waits up to `limit` for the answer. Names may repeat.
///
/// Asks the broker of the id `broker`, or without one that which the brokers call their controller; each knows all
/// topics. Any client will do, also one that consumes. Its own queue is not served meanwhile.
///
/// # Errors
///
/// The answer is an error when there is none within the limit, or the request is refused. Of a single topic, when it does
/// not exist, the client has no right to describe it, or the brokers tell no ids (`UnsupportedFeature`), as before Kafka
/// 2.8.
///
/// # Panics
///
/// If a name has a zero byte.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    broker: Option<i32>,
    topics: &[&str],
    limit: Duration,
) -> KafkaResult<BTreeMap<String, Result<TopicId, RDKafkaErrorCode>>> {
    let mut topics = topics.to_vec();
    topics.sort_unstable();
    topics.dedup();
    // An empty name fails the whole request, within the client.
    let topics = topics.into_iter().filter(|topic| !topic.is_empty());
    let names: Vec<_> = topics
        .map(|topic| CString::new(topic).expect("no name has a zero byte"))
        .collect();
    let millis = millis(limit);
    let queue = describe(client, broker, &names, millis)?;
    let event = answer(&queue, millis)?;
    // SAFETY: The event is alive. If it were of another kind, this would be null.
    let result = unsafe { rd_kafka_event_DescribeTopics_result(event.pointer.as_ptr()) };
    if result.is_null() {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::InvalidType));
    }
    let mut count = 0;
    // SAFETY: The result is not null, and lives as long as the event.
    let first = unsafe { rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    let found = match first.is_null() {
        true => &[][..],
        // SAFETY: The result has an array of `count` pointers, which lives as long as the event.
        false => unsafe { slice::from_raw_parts(first, count) },
    };
    // A topic that the answer leaves out may be a null.
    let found = found.iter().filter(|topic| !topic.is_null());
    // SAFETY: Each other pointer is to a description that lives as long as the event.
    Ok(found.map(|topic| unsafe { read(*topic) }).collect())
}

/// Sends the request. The answer comes into the queue, which must not outlive the client.
fn describe<C: ClientContext>(
    client: &Client<C>,
    broker: Option<i32>,
    names: &[CString],
    millis: i32,
) -> KafkaResult<Owned<rd_kafka_queue_t>> {
    let mut names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: The array has as many pointers as is said, each to a C string that outlives the call, which copies them.
    let collection =
        unsafe { rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
    // SAFETY: The collection belongs to the caller, and this is the function that destroys it.
    let collection = unsafe { Owned::new(collection, rd_kafka_TopicCollection_destroy) };
    let collection = collection.ok_or_else(no_memory)?;
    let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let options = options(client, operation, millis)?;
    if let Some(broker) = broker {
        let mut said = [0 as c_char; 256];
        // SAFETY: The options are alive, and the buffer for the text of an error is as long as is said.
        check(unsafe {
            rd_kafka_AdminOptions_set_broker(
                options.pointer.as_ptr(),
                broker,
                said.as_mut_ptr(),
                said.len(),
            )
        })?;
    }
    let queue = queue(client)?;
    // SAFETY: All four are alive. The call copies the names and the options; the answer holds the queue by a reference of
    // its own, and is dropped if the queue is gone.
    unsafe {
        rd_kafka_DescribeTopics(
            client.native_ptr(),
            collection.pointer.as_ptr(),
            options.pointer.as_ptr(),
            queue.pointer.as_ptr(),
        );
    }
    Ok(queue)
}

/// Reads the description of a topic.
///
/// # Safety
///
/// The pointer must be to a description that is alive.
unsafe fn read(
    topic: *const rd_kafka_TopicDescription_t,
) -> (String, Result<TopicId, RDKafkaErrorCode>) {
    // SAFETY: The description is alive, as the caller says.
    let name = unsafe { rd_kafka_TopicDescription_name(topic) };
    // SAFETY: A description has the name of its topic, a C string that lives as long as it does.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: The description is alive, as the caller says.
    let error = unsafe { rd_kafka_TopicDescription_error(topic) };
    // SAFETY: The error is null, which is no error, or lives as long as the description.
    let error = unsafe { rd_kafka_error_code(error) };
    if let Err(KafkaError::AdminOp(code)) = check(error) {
        return (name, Err(code));
    }
    // SAFETY: The description is alive, as the caller says.
    let id = unsafe { rd_kafka_TopicDescription_topic_id(topic) };
    // SAFETY: A description has an id that lives as long as it does.
    let high = unsafe { rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: As above.
    let low = unsafe { rd_kafka_Uuid_least_significant_bits(id) };
    let id = u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned());
    match id {
        0 => (name, Err(RDKafkaErrorCode::UnsupportedFeature)),
        _ => (name, Ok(TopicId(id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_kafka_shows_it() {
        // From the tests of Kafka's `Uuid`.
        let id = TopicId(1_u128);
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId(0xfffe_fdfc_fbfa_f9f8_f7f6_f5f4_f3f2_f1f0);
        assert_eq!(id.to_string(), "__79_Pv6-fj39vX08_Lx8A");
    }
}
