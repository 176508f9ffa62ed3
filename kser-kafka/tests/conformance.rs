//! The contract of transports, sentence by sentence, on real Kafka.

use std::sync::OnceLock;
use std::time::Duration;

use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
use kser_testkit::{Capabilities, TransportHarness, rules};
use libtest_mimic::{Arguments, Trial};
use test_services::{Cluster, Release};

/// The rules that are checked on Kafka 4.3.1, too: those that depend most on the broker.
const ON_4_3_1: [&str; 8] = [
    "delivery::loses_nothing_when_members_come_and_go",
    "settling::a_settled_delivery_does_not_come_back",
    "settling::a_settle_of_another_members_delivery_publishes_nothing",
    "delay::delays_a_record_until_its_time",
    "redelivery::held_deliveries_of_a_dropped_member_are_delivered_and_counted",
    "groups::members_of_a_group_share_the_records",
    "limits::refuses_a_record_that_is_too_large",
    "closing::after_a_close_the_others_get_the_records",
];

fn main() {
    let mut arguments = Arguments::from_args();
    // The rules wait more than they work.
    arguments.test_threads.get_or_insert(8);
    let named = |rule: &str| format!("on_4_3_1::{rule}");
    let can_start = test_services::HAS_KAFKA && std::env::var_os("KSER_TEST_KAFKA").is_none();
    let mut trials = Vec::new();
    let mut listed = 0;
    for rule in rules::TRANSPORT {
        let name = format!("{}::{}", rule.section, rule.name);
        if ON_4_3_1.contains(&&*name) {
            listed += 1;
            let run = move || check(rule.test, former, Guarantee::AtLeastOnce);
            trials.push(Trial::test(named(&name), run).with_ignored_flag(!can_start));
        }
        let once = format!("exactly_once::{name}");
        for (name, guarantee) in [
            (name, Guarantee::AtLeastOnce),
            (once, Guarantee::ExactlyOnce),
        ] {
            let run = move || check(rule.test, test_services::kafka, guarantee);
            trials.push(Trial::test(name, run).with_ignored_flag(!test_services::HAS_KAFKA));
        }
    }
    assert_eq!(listed, ON_4_3_1.len(), "each name is that of a rule");
    libtest_mimic::run(&arguments, trials).exit();
}

/// Returns the address of a broker of Kafka 4.3.1, which is started by the first call.
fn former() -> &'static str {
    static FORMER: OnceLock<(Cluster, String)> = OnceLock::new();
    let former = FORMER.get_or_init(|| {
        let cluster = Cluster::builder().with_release(Release::V4_3_1).start();
        let address = cluster.bootstrap();
        (cluster, address)
    });
    &former.1
}

fn check(
    test: impl AsyncFnOnce(&TransportHarness),
    broker: fn() -> &'static str,
    guarantee: Guarantee,
) -> Result<(), libtest_mimic::Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async { test(&harness(broker, guarantee).await).await });
    Ok(())
}

async fn harness(broker: fn() -> &'static str, guarantee: Guarantee) -> TransportHarness {
    let servers = tokio::task::spawn_blocking(broker).await;
    let config = KafkaConfig::new(servers.expect("a Kafka starts")).with_delivery(guarantee);
    let transport = KafkaTransport::with_config(config).await;
    let mut capabilities = Capabilities::default();
    capabilities.patience = Duration::from_secs(30);
    capabilities.quiet = Duration::from_millis(1500);
    // Usually it takes milliseconds, and longer on a busy machine.
    capabilities.delay_granularity = Duration::from_secs(5);
    capabilities.joining = Duration::from_secs(2);
    capabilities.takeover = Duration::from_secs(1);
    capabilities.shares_freely = false;
    TransportHarness::with_capabilities(transport.expect("the brokers answer"), capabilities)
}
