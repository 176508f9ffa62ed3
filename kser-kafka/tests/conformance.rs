//! The contract of transports, sentence by sentence, on real Kafka.

use std::time::Duration;

use kser_kafka::{KafkaConfig, KafkaTransport};
use kser_testkit::{Capabilities, TransportHarness, rules};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // The rules wait more than they work.
    arguments.test_threads.get_or_insert(8);
    let trials = rules::TRANSPORT.iter().map(|rule| {
        let name = format!("{}::{}", rule.section, rule.name);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(async { (rule.test)(&harness().await).await });
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!test_services::HAS_KAFKA)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

async fn harness() -> TransportHarness {
    let servers = tokio::task::spawn_blocking(test_services::kafka).await;
    let config = KafkaConfig::new(servers.expect("a Kafka starts"));
    let transport = KafkaTransport::with_config(config).await;
    let mut capabilities = Capabilities::default();
    capabilities.patience = Duration::from_secs(30);
    capabilities.quiet = Duration::from_millis(1500);
    // Mostly it is milliseconds, and a busy machine is late.
    capabilities.delay_granularity = Duration::from_secs(5);
    capabilities.joining = Duration::from_secs(2);
    capabilities.takeover = Duration::from_secs(1);
    capabilities.shares_freely = false;
    TransportHarness::with_capabilities(transport.expect("the brokers answer"), capabilities)
}
