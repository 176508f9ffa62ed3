//! The questions of an operator, on the transport in memory.

mod chain;
mod diagnosis;
mod letters;
mod preview;
mod setup;
mod topics;
