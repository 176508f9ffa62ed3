//! Topics: their creation, the readiness of new ones, and the limits of their settings.

pub(crate) mod admin;
pub(crate) mod companion_settings;
pub(crate) mod limits;
mod readiness;
