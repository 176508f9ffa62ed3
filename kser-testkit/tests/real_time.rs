//! The rules of transports on the time of the machine, all at once on one transport, as on a broker that tests share, and
//! with less declared.

use std::time::Duration;

use kser_memory::MemoryTransport;
use kser_testkit::rules::TRANSPORT;
use kser_testkit::{Capabilities, TransportHarness, run_real};
use tokio::task::JoinSet;

fn harness(transport: &MemoryTransport) -> TransportHarness {
    let mut capabilities = Capabilities::default();
    capabilities.quiet = Duration::from_millis(200);
    // A busy machine is late: what matters here is that no rule takes time for paused.
    capabilities.delay_granularity = Duration::from_secs(30);
    capabilities.takeover = Duration::from_millis(10);
    capabilities.shares_freely = false;
    TransportHarness::with_capabilities(transport.clone(), capabilities)
}

/// It takes seconds: there is no other way to see that the rules are right about real time.
#[test]
fn tests_share_a_broker_in_real_time() {
    run_real("all", "all rules", async {
        let transport = MemoryTransport::new();
        let mut rules = JoinSet::new();
        for rule in TRANSPORT {
            let harness = harness(&transport);
            rules.spawn(async move { (rule.test)(&harness).await });
        }
        while let Some(kept) = rules.join_next().await {
            kept.expect("a rule is kept");
        }
    });
}
