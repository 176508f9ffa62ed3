use serde::{Deserialize, Serialize};

use crate::{Name, Raw, RunId, StoreId, Topic};

/// What kser adds to a message, in `metadata.kser`: all that a hop needs, so that a Python consumer passes it on untouched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Envelope {
    /// The run of which the message is a step, or which it launches.
    pub run: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// Which step this is, counted from 1; 0 is the launch.
    pub step: u32,
    /// How many steps there are; 0 while that is unknown.
    pub of: u32,
    /// Where the state lives, and what is promised.
    pub mode: Mode,
    /// The version of the progress that the writer saw.
    pub version: u64,
    /// Stored: the store that knows the run.
    pub store: Option<StoreId>,
    /// Carried: the steps still to come.
    pub plan: Option<Raw>,
    /// The message asks for a run.
    pub launch: bool,
    /// An external step: where its end is reported to.
    pub reply: Option<Topic>,
    /// One event for each step was asked for.
    pub step_events: bool,
    /// The operation's owner wants to be told of changes of status.
    pub status_hook: bool,
    /// The starts that were counted so far, see [`Progress::attempts`](crate::sequencing::Progress::attempts).
    pub attempts: u32,
    /// Those of them that the retry policy does not count.
    pub uncounted: u32,
    /// Those of them that ended without a report.
    pub unreported: u32,
}

/// Where the state of a run lives, and what is promised for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mode {
    /// In a store; the message is a wake-up.
    Stored,
    /// In the message; each step is accepted once, by transactions of the transport.
    ExactlyOnce,
    /// In the message; a redelivery can run a step, and all after it, twice.
    AtLeastOnce,
}
