//! Starts a Kafka for experiments, and keeps it until Ctrl-C: `cargo run -p test-services -- --brokers 3 --port 9092`.
//!
//! Its data is deleted at the end.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::thread::park;

use test_services::Cluster;

const USAGE: &str = "usage: kafka [--brokers 1|3] [--port PORT]";

fn main() -> ExitCode {
    let Some((brokers, port)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut builder = Cluster::builder().with_brokers(brokers);
    if let Some(port) = port {
        builder = builder.with_first_port(port);
    }
    let cluster = builder.start();
    println!("{}", cluster.bootstrap());
    let _ = stdout().flush();
    loop {
        park();
    }
}

/// The number of brokers and the port of the first.
fn arguments() -> Option<(u16, Option<u16>)> {
    let (mut brokers, mut port) = (1, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?.parse().ok()?;
        match name.as_str() {
            "--brokers" if [1, 3].contains(&value) => brokers = value,
            "--port" => port = Some(value),
            _ => return None,
        }
    }
    Some((brokers, port))
}
