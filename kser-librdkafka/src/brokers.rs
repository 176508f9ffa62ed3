use std::ffi::{CStr, c_char};

use rdkafka::bindings::{
    rd_kafka_brokers_add, rd_kafka_conf, rd_kafka_conf_get, rd_kafka_conf_res_t,
};
use rdkafka::client::{Client, ClientContext};

/// The name of the setting that names the brokers.
const SERVERS: &CStr = c"bootstrap.servers";

/// Adds the bootstrap servers of a client to the brokers that it knows, and returns how many they are; none without the setting
/// `bootstrap.servers`. A bootstrap server that the client knows as such is not added again.
///
/// A client forgets brokers that the metadata of the cluster do not name, and starts again with its bootstrap servers when it has
/// none left. librdkafka can lose that start, so that the client knows no broker and never connects again (seen with 2.12.1; issue
/// 5301 of librdkafka reports it for 2.13.0). This call brings such a client back, and changes little for any other: a connection to a bootstrap
/// server ends with the next metadata. It waits for no answer, and any thread may call it.
///
/// The client keeps a copy of the setting for each call, until it is dropped.
pub fn add_bootstrap_servers<C: ClientContext>(client: &Client<C>) -> usize {
    // SAFETY: The client is alive, since the caller borrows it. Its settings live as long as the client, and are not written to.
    let settings = unsafe { rd_kafka_conf(client.native_ptr()) };
    let mut length = 0;
    // SAFETY: The settings are alive and the name ends with a zero byte. Without a buffer the call only tells the length.
    let found = unsafe {
        rd_kafka_conf_get(
            settings,
            SERVERS.as_ptr(),
            std::ptr::null_mut(),
            &raw mut length,
        )
    };
    if found != rd_kafka_conf_res_t::RD_KAFKA_CONF_OK || length == 0 {
        return 0;
    }
    let mut servers = vec![0 as c_char; length];
    // SAFETY: As above, and the buffer is as long as is said. The text in it ends with a zero byte, which `length` counts.
    let found = unsafe {
        rd_kafka_conf_get(
            settings,
            SERVERS.as_ptr(),
            servers.as_mut_ptr(),
            &raw mut length,
        )
    };
    if found != rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
        return 0;
    }
    // SAFETY: The client is alive, and the call copies the text, which ends with a zero byte. Any thread may call it.
    let added = unsafe { rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
    usize::try_from(added).unwrap_or_default()
}
