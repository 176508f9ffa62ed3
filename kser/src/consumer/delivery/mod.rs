//! Takes one delivery to its end: what is known of it, how it is acknowledged, and its dead letter.

pub(crate) mod dead_letter;
pub(crate) mod disposition;
pub(crate) mod state;
mod unpublishable;
