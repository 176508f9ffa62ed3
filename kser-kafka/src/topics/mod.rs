//! Topics: how they are created, until when a new one cannot be used, and what their settings allow.

pub(crate) mod admin;
pub(crate) mod companion_settings;
pub(crate) mod limits;
mod readiness;
