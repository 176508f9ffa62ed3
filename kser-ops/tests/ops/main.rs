//! The questions of an operator, on the transport in memory.

mod letters;
mod setup;
mod topics;
