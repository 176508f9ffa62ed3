//! A process that has started brokers leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

#[path = "brokers/common/mod.rs"]
mod common;

/// The time within which an expected event happens.
const TRIES: usize = 500;

/// A process that has started a broker.
struct Owner {
    process: Child,
    address: String,
}

impl Owner {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_kafka"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Self {
            process,
            address: address.trim_end().to_owned(),
        }
    }

    fn folder(&self) -> PathBuf {
        let name = format!("{}-0", self.process.id());
        Path::new(env!("TEST_SERVICES_HOME")).join("run").join(name)
    }

    /// Returns the process id of its broker.
    fn broker(&self) -> String {
        fs::read_to_string(self.folder().join("1/pid"))
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

fn runs(process: &str) -> bool {
    let asked = Command::new("sh")
        .args(["-c", "kill -0 $0", process])
        .stderr(Stdio::null())
        .status();
    asked.unwrap().success()
}

fn happens(what: impl Fn() -> bool) -> bool {
    (0..TRIES).any(|_| {
        sleep(Duration::from_millis(10));
        what()
    })
}

test_services::cluster_tests!(
    #[test]
    fn a_killed_process_leaves_no_broker_and_no_data() {
        let mut owner = Owner::start();
        let (broker, folder) = (owner.broker(), owner.folder());
        assert!(runs(&broker));
        assert!(folder.join("1/data").is_dir());
        owner.process.kill().unwrap();
        owner.process.wait().unwrap();
        assert!(happens(|| !runs(&broker)));
        assert!(happens(|| !folder.exists()));
    }

    #[test]
    fn a_dropped_cluster_is_gone_at_once() {
        let cluster = test_services::Cluster::start(1);
        let address = cluster.bootstrap();
        common::ask(&address, Duration::from_secs(5)).unwrap();
        drop(cluster);
        assert!(common::ask(&address, Duration::from_secs(5)).is_err());
        let folder = format!("{}-0", std::process::id());
        assert!(
            !Path::new(env!("TEST_SERVICES_HOME"))
                .join("run")
                .join(folder)
                .exists()
        );
    }

    #[test]
    fn processes_have_brokers_of_their_own() {
        let owners = [Owner::start(), Owner::start()];
        assert_ne!(owners[0].address, owners[1].address);
        for mut owner in owners {
            common::ask(&owner.address, Duration::from_secs(5)).unwrap();
            owner.process.kill().unwrap();
            owner.process.wait().unwrap();
        }
    }
);
