//! Runs the step, or the lone task, that a message asks for: opens it, begins an attempt, runs the handler, and decides the
//! disposition of the delivery. Each stage takes the one before.

mod ahead;
mod attempt;
mod attempt_end;
mod attempt_span;
mod end_line;
pub(crate) mod execution;
mod external;
mod finish;
pub(crate) mod give_up;
mod handler;
pub(crate) mod in_a_row;
mod job;
pub(crate) mod layers;
pub(crate) mod lease;
mod outcome;
pub(crate) mod renewals;
mod retry;
pub(crate) mod route;
pub(crate) mod run_waits;
mod start;
