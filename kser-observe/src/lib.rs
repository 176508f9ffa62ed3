#![doc = include_str!("../README.md")]

mod consumers;
mod counters;
mod exposition;
mod histogram;
mod monitor;
#[cfg(feature = "otel")]
mod otel;
mod probes;
mod server;
mod watched;

pub use self::exposition::MetricsFormat;
pub use self::monitor::Monitor;
#[cfg(feature = "otel")]
pub use self::otel::OtelTracer;
pub use self::probes::{Finding, ProbeReport};
pub use self::server::{Server, ServerError};
pub use self::watched::Watching;
