//! The first request of a client.

use std::thread;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaError;

use crate::clock::monotonic;
use crate::error::is_silence;

/// The pause before the brokers are asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Blocks until a broker answers, for `limit` at most.
///
/// A request whose connection is lost is sent again: the client tells such a loss at once, and retries other requests only.
pub(crate) fn reach<C: ClientContext>(
    client: &Client<C>,
    limit: Duration,
) -> Result<(), KafkaError> {
    let until = monotonic() + limit;
    loop {
        let left = until.saturating_duration_since(monotonic()).max(PAUSE);
        match client.fetch_metadata(Some("kser"), left) {
            Err(error) if is_silence(&error) && left > PAUSE => thread::sleep(PAUSE),
            answered => return answered.map(drop),
        }
    }
}
