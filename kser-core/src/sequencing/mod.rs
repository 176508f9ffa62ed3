//! How an operation moves: a pure function over its plan and its progress.
//!
//! An operation has a **plan** (its steps, immutable once built) and a **progress** (small: its position and status).
//! Because it is linear, [`apply`] needs the progress, the current step and the next one, for any number of steps. It
//! awaits nothing, reads no clock and keeps no state, and all rules are in it: it is shared by carried and stored state,
//! and by lone tasks, which are operations of one step.

mod apply;
pub mod carried;
mod event;
mod plan;
mod progress;
mod rejected;

pub use apply::{MAX_CRASHES, apply};
pub use carried::SentStep;
pub use event::{Effect, Event, Transition};
pub use plan::{External, Plan, PlannedStep, StepKey, StepWindow};
pub use progress::{Lease, Outcomes, Owner, Progress, Revision};
pub use rejected::Rejected;
