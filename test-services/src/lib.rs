//! Starts the services that the tests of kser need, and kills them.

mod admin;
mod broker;
mod cluster;
mod deadline;
mod installation;
mod layout;
mod macros;
mod metadata;
mod ports;
mod shared;
mod watchdog;
mod wire;

pub use admin::Admin;
pub use cluster::Cluster;
pub use shared::kafka;
