//! JSON as text: what nobody asks for is scanned and never built, and passes through unchanged.

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
