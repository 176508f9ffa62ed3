//! The suite takes a transport that is built as Kafka is: topics of parts, each read by one member of a group; several
//! records of a key in one member's hands; outputs first and the mark after; delays that look at the clock once a second;
//! a dead member that is noticed only when its session is over. All of it is declared, and no rule is left out.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod group;
mod member;
mod part;
mod transport;

use std::time::Duration;

use kser_memory::MemoryClock;
use kser_testkit::{Capabilities, TransportHarness};

use self::transport::Parts;

/// How long a member that says nothing is believed to live.
const SESSION: Duration = Duration::from_secs(6);

kser_testkit::transport_suite!(paused, harness());

async fn harness() -> TransportHarness {
    let mut capabilities = Capabilities::default();
    capabilities.takeover = SESSION + Duration::from_millis(100);
    capabilities.delay_granularity = Duration::from_millis(1100);
    capabilities.shares_freely = false;
    TransportHarness::with_capabilities(Parts::default(), capabilities)
        .with_clock(MemoryClock::new())
}
