use std::time::Duration;

use clap::Subcommand;

/// The commands for events.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Events {
    /// Shows events as they come, one a line
    Tail {
        /// Only events of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only events of this operation
        #[arg(long, value_name = "NAME")]
        op: Option<String>,
        /// Begins with the events of this time ago
        #[arg(long, value_parser = humantime::parse_duration, default_value = "0s", value_name = "TIME")]
        since: Duration,
        /// Ends with the events that are there; --json needs it
        #[arg(long)]
        past: bool,
    },
}
