//! Starts real Apache Kafka for the tests of kser, and kills it.
//!
//! Brokers are processes of the installed Java (17 or later). The first test lets Maven fetch Kafka into cargo's target folder;
//! from then on a broker starts in about a second. A crate with tests on Kafka needs only the dev-dependency `test-services = {
//! path = "../test-services" }`:
//!
//! ```
//! test_services::kafka_tests!(
//!     #[test]
//!     fn a_topic_has_partitions() {
//!         let admin = test_services::Admin::new(test_services::kafka());
//!         admin.create_topic("a_topic_has_partitions", 3, 1);
//!         // ...
//!     }
//! );
//!
//! test_services::cluster_tests!(
//!     #[test]
//!     fn goes_on_without_one_of_three_brokers() {
//!         let cluster = test_services::Cluster::start(3);
//!         cluster.kill(2);
//!         // ...
//!         cluster.restart(2);
//!     }
//! );
//! ```
//!
//! # Which Kafka
//!
//! Brokers are of Apache Kafka 4.4.0. [`ClusterBuilder::with_release`] starts another [`Release`], for a few tests of a suite.
//! Console tools are always those of 4.4.0.
//!
//! [`kafka`] is one broker for all tests of a process, so that each test has to use topics and groups of its own. Tests that
//! kill brokers, or that need other settings, start a [`Cluster`]. Both use short timeouts (see `layout.rs`): groups join at
//! once, and a killed broker is detected after 1 s (after 2 s in a cluster of three).
//!
//! All calls block. Async tests may call them directly on a multi-threaded runtime, or through `spawn_blocking`.
//!
//! # Without Java or Maven
//!
//! The build script warns, and the tests inside [`kafka_tests!`] and [`cluster_tests!`] count as ignored. If `CI` is set, the
//! build fails instead. Crates with tests need no build script for that. Other macros that declare tests can be called inside,
//! too, if they take attributes as their last arguments, as the suites of kser-testkit do.
//!
//! # PostgreSQL
//!
//! [`Postgres`] is a server from the system's package (`postgresql`), with durable commits; [`postgres`] is one for all tests of a
//! process. Root lets the user `postgres` run it. Tests stand inside [`postgres_tests!`], and are ignored without the package.
//!
//! # Environment
//!
//! `KSER_TEST_KAFKA=host:port` makes [`kafka`] use a running Kafka, which should not create topics automatically. Tests fail if
//! it does not answer. Clusters ignore the variable.
//!
//! `KSER_TEST_POSTGRES=/usr/lib/postgresql/18/bin` runs the programs in that folder, and those of the package that it lacks.
//!
//! # Cleanup
//!
//! Brokers and their data are removed when their cluster is dropped, and when the test process ends, even by `kill -9`. Only
//! the fetched files stay. A panic about a broker contains its log.

#![expect(clippy::test_attr_in_doctest, reason = "the examples are of tests")]

mod admin;
mod broker;
mod builder;
mod cluster;
mod coordinators;
mod deadline;
mod installation;
mod java;
mod layout;
mod macros;
mod metadata;
mod ports;
#[cfg(unix)]
mod postgres;
mod proxy;
mod python;
mod record_batch;
mod release;
mod secure;
mod shared;
mod watchdog;
mod wire;

pub use admin::{Admin, Resource, Right};
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use java::java;
#[cfg(unix)]
pub use postgres::{Postgres, postgres};
pub use proxy::{Loss, Place};
pub use python::python;
pub use release::Release;
pub use secure::Access;
pub use shared::kafka;

/// Whether tests that need a Kafka can run.
pub const HAS_KAFKA: bool = cfg!(kafka);

/// Whether brokers can be started.
pub const HAS_CLUSTER: bool = cfg!(cluster);

/// Whether [`Postgres`] can be started.
pub const HAS_POSTGRES: bool = cfg!(postgres);

/// Whether [`java()`] can compile programs.
pub const HAS_JAVA_COMPILER: bool = cfg!(javac);

/// Whether [`python`] can fetch the package.
pub const HAS_PYTHON: bool = cfg!(python);
