//! The statements of LANGUAGES.md: external steps, reports, launches and events as other languages see them. Both modes.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod contract;
mod faults;
mod launches;
mod merging;
mod office;

use kser::client::Mode;

/// Where the state of runs lives.
const MODES: [Mode; 2] = [Mode::Stored, Mode::AtLeastOnce];
