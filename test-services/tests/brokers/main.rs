//! Brokers that are started, killed, frozen and stopped, their listeners, and the tools of other languages.

mod cluster;
mod common;
mod python;
mod sasl_ssl;
mod shared;
