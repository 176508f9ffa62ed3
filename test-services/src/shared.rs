use std::env::var;
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::coordinators;
use crate::deadline::retry_for;
use crate::wire::BrokerConnection;

/// Returns the address of a Kafka that all tests of this process share: `host:port`, or several, separated by commas.
///
/// The first call starts a broker, or checks the one at `KSER_TEST_KAFKA`. All tests share topics and groups, so that each has
/// to use names of its own.
///
/// # Panics
///
/// If no broker can be started, or none answers at `KSER_TEST_KAFKA`.
#[must_use]
pub fn kafka() -> &'static str {
    static ADDRESS: OnceLock<Result<String, String>> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| match var("KSER_TEST_KAFKA") {
        Ok(address) => reached(address),
        Err(_) => Ok(started()),
    });
    address.as_deref().unwrap_or_else(|error| panic!("{error}"))
}

fn reached(address: String) -> Result<String, String> {
    retry_for(Duration::from_secs(5), || {
        coordinators::are_ready(&mut BrokerConnection::open_any(&address)?)
    })
    .map_err(|error| format!("KSER_TEST_KAFKA is {address}, where no Kafka is ready: {error}"))?;
    Ok(address)
}

/// Starts a cluster that is never dropped, and ends with the process.
fn started() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    // It is never restarted. With a short session a busy machine lets it miss its heartbeats, and it leads no partition then.
    let start = || {
        let builder = Cluster::builder();
        builder
            .with_property("broker.session.timeout.ms", "30000")
            .start()
    };
    CLUSTER.get_or_init(start).bootstrap()
}
