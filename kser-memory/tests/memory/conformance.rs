//! The contracts, on paused time.

use kser_memory::{MemoryStore, MemoryTransport};
use kser_testkit::{StoreHarness, TransportHarness};

mod transport {
    kser_testkit::transport_suite!(paused, super::transport());
}

mod store {
    kser_testkit::store_suite!(paused, super::store());
}

async fn transport() -> TransportHarness {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    TransportHarness::new(transport).with_clock(clock)
}

async fn store() -> StoreHarness {
    StoreHarness::new(MemoryStore::new())
}
