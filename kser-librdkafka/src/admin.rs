//! The shared parts of the requests of librdkafka's admin interface: their options, and the queue of the answer.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new,
    rd_kafka_AdminOptions_set_request_timeout, rd_kafka_AdminOptions_t, rd_kafka_admin_op_t,
    rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t, rd_kafka_queue_destroy,
    rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// Returns a limit in milliseconds, of which librdkafka takes 1 up to an hour.
pub(crate) fn millis(limit: Duration) -> i32 {
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    millis.clamp(1, 3_600_000)
}

/// Returns the error of a call for which librdkafka has no memory.
pub(crate) fn no_memory() -> KafkaError {
    KafkaError::AdminOp(RDKafkaErrorCode::CriticalSystemResource)
}

/// Makes the options of a request that has so many milliseconds.
pub(crate) fn options<C: ClientContext>(
    client: &Client<C>,
    operation: rd_kafka_admin_op_t,
    millis: i32,
) -> KafkaResult<Owned<rd_kafka_AdminOptions_t>> {
    // SAFETY: The client is alive, since the caller borrows it.
    let options = unsafe { rd_kafka_AdminOptions_new(client.native_ptr(), operation) };
    // SAFETY: The options belong to the caller, and this is the function that destroys them.
    let options = unsafe { Owned::new(options, rd_kafka_AdminOptions_destroy) };
    let options = options.ok_or_else(no_memory)?;
    let mut said = [0 as c_char; 256];
    // SAFETY: The options are alive, and the buffer for the text of an error is as long as is said.
    check(unsafe {
        rd_kafka_AdminOptions_set_request_timeout(
            options.pointer.as_ptr(),
            millis,
            said.as_mut_ptr(),
            said.len(),
        )
    })?;
    Ok(options)
}

/// Makes a queue, which must not outlive the client.
pub(crate) fn queue<C: ClientContext>(client: &Client<C>) -> KafkaResult<Owned<rd_kafka_queue_t>> {
    // SAFETY: The client is alive, since the caller borrows it.
    let queue = unsafe { rd_kafka_queue_new(client.native_ptr()) };
    // SAFETY: The queue belongs to the caller, and this is the function that destroys it.
    unsafe { Owned::new(queue, rd_kafka_queue_destroy) }.ok_or_else(no_memory)
}

/// Waits for the answer to a request, which is without an error.
pub(crate) fn answer(
    queue: &Owned<rd_kafka_queue_t>,
    millis: i32,
) -> KafkaResult<Owned<rd_kafka_event_t>> {
    // SAFETY: The queue is alive, and no other code polls it.
    let event = unsafe { rd_kafka_queue_poll(queue.pointer.as_ptr(), millis) };
    // SAFETY: An event belongs to the caller of the poll, and this is the function that destroys it.
    let Some(event) = (unsafe { Owned::new(event, rd_kafka_event_destroy) }) else {
        return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
    };
    // SAFETY: The event is alive.
    check(unsafe { rd_kafka_event_error(event.pointer.as_ptr()) })?;
    Ok(event)
}

pub(crate) fn check(error: RDKafkaRespErr) -> KafkaResult<()> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        _ => Err(KafkaError::AdminOp(error.into())),
    }
}

/// A value of librdkafka that is destroyed when this is dropped.
pub(crate) struct Owned<T> {
    pub(crate) pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes a value over. `None` for a null.
    ///
    /// # Safety
    ///
    /// The value must be alive, owned by the caller, and of the type that the function destroys.
    pub(crate) unsafe fn new(
        pointer: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Option<Self> {
        let pointer = NonNull::new(pointer)?;
        Some(Self { pointer, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: The value is alive until here, it is owned, and this is its function: see `new`.
        unsafe { (self.destroy)(self.pointer.as_ptr()) };
    }
}
