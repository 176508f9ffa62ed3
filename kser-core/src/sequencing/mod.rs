//! How an operation moves: a pure function over its plan and its progress.
//!
//! An operation has a **plan** (its steps, immutable once built) and **progress** (small: where it stands). Because it is
//! linear, [`apply`] needs the progress, the step at hand and the one after it, whatever the number of steps. It awaits
//! nothing, reads no clock and keeps nothing, and it is all that knows the rules; carried and stored state, and lone
//! tasks, which are operations of one step, share it.

mod apply;
pub mod carried;
mod draft;
mod event;
mod plan;
mod progress;
mod rejected;

pub use apply::{MAX_UNREPORTED, apply};
pub use carried::SentStep;
pub use event::{Effect, Event, Transition};
pub use plan::{External, Plan, PlannedStep, StepKey, StepWindow};
pub use progress::{Lease, Owner, Progress, Revision};
pub use rejected::Rejected;
