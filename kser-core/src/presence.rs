//! The presence of consumers: the announcements by which operators see the consumers that are alive.

mod announcement;
mod command;
mod running;
mod store;

pub use self::announcement::{Presence, PresentState};
pub use self::command::{Command, CommandVerb};
pub use self::running::{RunningTask, TaskProgress};
pub use self::store::{Announced, PresenceStore};

use std::time::Duration;

/// The interval between two announcements of a consumer.
pub const PRESENCE_EVERY: Duration = Duration::from_secs(5);

/// The age from which the consumer of an announcement counts as silent: three announcements are missing. It may still work.
pub const PRESENCE_SILENT: Duration = Duration::from_secs(20);

/// The age from which an announcement is forgotten.
pub const PRESENCE_KEPT: Duration = Duration::from_secs(600);
