//! Changes, told to browsers over one stream each: which subjects have changed, and never their content.

pub(crate) mod hub;
pub(crate) mod stop;
pub(crate) mod stream;
pub(crate) mod subject;
