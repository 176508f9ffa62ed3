#![doc = include_str!("../README.md")]

mod access;
mod acts;
mod answer;
mod api;
mod assets;
mod error;
mod html;
mod links;
mod live;
mod options;
mod pages;
mod params;
mod payload;
mod reading;
mod router;
mod server;

pub use self::access::gate::Gate;
pub use self::access::{Access, AccessError};
pub use self::live::stop::StreamsEnd;
pub use self::options::{OptionsError, WebOptions};
pub use self::router::router;
pub use self::server::{ServeError, serve};
