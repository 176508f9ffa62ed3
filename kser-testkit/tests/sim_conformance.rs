//! The simulated transport and store keep the contracts, as every other backend does.

use std::time::Duration;

use kser_testkit::{Capabilities, Setup, SimStore, SimTransport, StoreHarness, TransportHarness};

async fn transport(setup: Setup) -> TransportHarness {
    let mut capabilities = Capabilities::default();
    capabilities.takeover = setup.session + Duration::from_millis(1);
    capabilities.shares_freely = false;
    let transport = SimTransport::new(setup);
    let clock = transport.clock();
    TransportHarness::with_capabilities(transport, capabilities).with_clock(clock)
}

async fn store() -> StoreHarness {
    StoreHarness::new(SimStore::new())
}

mod in_order {
    kser_testkit::transport_suite!(paused, super::transport(super::Setup::at_least_once()));
}

mod together {
    kser_testkit::transport_suite!(paused, super::transport(super::Setup::exactly_once()));
}

mod rows {
    kser_testkit::store_suite!(paused, super::store());
}
