use std::ffi::CStr;
use std::ptr;
use std::slice;

use rdkafka::Message;
use rdkafka::bindings::{
    rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers,
    rd_kafka_message_leader_epoch,
};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

/// A header of a message, as its producer wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header<'m> {
    /// The name, up to its first zero byte. Need not be UTF-8.
    pub name: &'m [u8],
    /// The value; `None` for a null, which differs from an empty one.
    pub value: Option<&'m [u8]>,
}

/// Returns the headers of a message, in order. Empty when it has none, or when they cannot be decoded.
///
/// rdkafka's own `Headers::get` panics at a name that is not UTF-8, which every producer may write.
pub fn headers<'m>(message: &'m BorrowedMessage<'_>) -> impl Iterator<Item = Header<'m>> {
    (0..).map_while(|index| header(message, index))
}

/// Returns the headers of a message, which belong to it.
fn decoded(message: &BorrowedMessage<'_>) -> Option<*const rd_kafka_headers_t> {
    // librdkafka decodes the headers at the first call, and keeps them.
    message.headers()?;
    let mut headers = ptr::null_mut();
    // SAFETY: The message is alive, since it is borrowed. The call above has had its headers decoded, so that this one only
    // reads the message, and writes to `headers` alone.
    let error = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(headers.cast_const())
}

/// Reads the header of an index. `None` behind the last.
fn header<'m>(message: &'m BorrowedMessage<'_>, index: usize) -> Option<Header<'m>> {
    let headers = decoded(message)?;
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: The headers belong to the message, which is borrowed. An index behind the last is an error of the call. It
    // writes to the three variables alone.
    let error = unsafe {
        rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size)
    };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: Without an error the name points to a C string that belongs to the headers, hence to the message, which is
    // borrowed for `'m`. librdkafka does not change headers of a message that was received.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let value = (!value.is_null()).then(|| {
        // SAFETY: As for the name; a value that is not null has `size` bytes.
        unsafe { slice::from_raw_parts(value.cast::<u8>(), size) }
    });
    Some(Header { name, value })
}

/// Returns the leader epoch under which a received message was written to its partition's log. `None` when the broker
/// does not tell it, as before Kafka 0.11.
pub fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: The message is alive, since it is borrowed, and is only read.
    let epoch = unsafe { rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}
