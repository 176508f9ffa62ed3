use std::env::var;
use std::sync::OnceLock;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::coordinators;
use crate::deadline::retry_for;
use crate::wire::BrokerConnection;

/// Tells the address of a Kafka that all tests of this process may use: `host:port`, or several, with commas.
///
/// The first call starts a broker, or asks the one that `KSER_TEST_KAFKA` names; others only read the address. Topics and
/// groups are shared with all tests, so each takes names of its own.
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

/// The cluster is never dropped: it ends with the process.
fn started() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(1)).bootstrap()
}
