//! Starts real Apache Kafka for the tests of kser, and kills it.
//!
//! Brokers are processes of the installed Java (17 or later). The first test of all has Maven fetch Kafka into cargo's
//! target folder; from then on a broker is there in about a second. For tests that need one, a crate takes
//! `test-services = { path = "../test-services" }` among its dev-dependencies, and nothing else:
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
//! Brokers are of Apache Kafka 4.4.0. [`ClusterBuilder::with_release`] starts another [`Release`], for the few tests that a
//! suite runs on it too. Console tools are always those of 4.4.0.
//!
//! [`kafka`] is one broker for all tests of a process, so each takes topics and groups of its own names. Tests that kill
//! brokers, or that need other settings, start a [`Cluster`] of their own. Both have Kafka's clocks run fast (see
//! `layout.rs`): groups join at once, a broker that was killed is missed after 1 s (of three: 2 s).
//!
//! All calls block: in an async test they may be made where they stand on a multi-threaded runtime, or through
//! `spawn_blocking`.
//!
//! # Where there is no Java or no Maven
//!
//! The build script says so, and the tests inside [`kafka_tests!`] and [`cluster_tests!`] count as ignored. Where `CI` is
//! set the build fails instead. That needs no build script in the crates that have tests. Macros that declare tests
//! themselves can be called there too, if they take attributes as their last arguments, as the suites of kser-testkit do.
//!
//! # Environment
//!
//! `KSER_TEST_KAFKA=host:port` names a running Kafka for [`kafka`] to use. It should create no topics by itself. A test
//! fails if it is not there. Clusters do not care about it.
//!
//! # What is left behind
//!
//! Nothing but the fetched files: brokers and their data go when their cluster is dropped, and when the test process ends,
//! even by `kill -9`. A panic about a broker carries its log.

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
mod python;
mod record_batch;
mod release;
mod secure;
mod shared;
mod watchdog;
mod wire;

pub use admin::Admin;
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use java::java;
pub use python::python;
pub use release::Release;
pub use secure::Access;
pub use shared::kafka;

/// Whether tests that need a Kafka can run.
pub const HAS_KAFKA: bool = cfg!(kafka);
