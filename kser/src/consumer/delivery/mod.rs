//! Takes one delivery to its end. The ticket of the delivery stays in `process.rs`.

pub(crate) mod dead_letter;
pub(crate) mod disposition;
pub(crate) mod process;
pub(crate) mod state;
pub(crate) mod tracked_record;
mod unpublishable;
