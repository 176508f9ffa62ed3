//! Runs what a message asks for: finds its handler, begins an attempt, runs it, and decides what follows.

mod ending;
mod execution;
mod external;
mod finish;
mod handler;
mod job;
mod launch;
pub(crate) mod layers;
pub(crate) mod lease;
mod retry;
mod route;
mod run;
pub(crate) mod run_waits;
mod span;
