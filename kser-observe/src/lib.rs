#![doc = include_str!("../README.md")]

mod consumers;
mod counters;
mod exposition;
mod histogram;
mod monitor;
mod probes;
mod server;

pub use self::exposition::MetricsFormat;
pub use self::monitor::Monitor;
pub use self::probes::{Finding, ProbeReport};
pub use self::server::{Server, ServerError};
