//! JSON as text. A value that no caller reads is scanned and never built, and passes through unchanged.
//!
//! The scanner is written by hand, because a message must pass through byte for byte: `serde_json` loses digits of numbers
//! and half surrogate pairs, recurses, and refuses repeated names, which Python reads. Reading and writing a message of 330
//! bytes takes 0.85 µs, and 2.16 µs with `serde_json::Value`.

pub(crate) mod decode_error;
pub(crate) mod depth;
mod error;
mod fields;
mod finite;
pub(crate) mod members;
mod object;
mod raw;
mod repeats;
pub(crate) mod scan;
pub(crate) mod text;

pub use error::JsonError;
pub use fields::Fields;
pub use object::Object;
pub use raw::Raw;
