use std::time::Duration;

use clap::{Args, Subcommand};
use kser::run::{Cursor, Status};
use kser_ops::CausePrefix;

use super::Consent;

/// The commands for the runs of a state store.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Runs {
    /// Lists runs, the latest launched first
    Ls {
        /// The filter.
        #[command(flatten)]
        filter: RunFilter,
        /// The most runs that are shown
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// Goes on where the list before has ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<Cursor>,
    },
    /// Groups failed runs by their causes
    Causes {
        /// The filter.
        #[command(flatten)]
        filter: RunTimes,
        /// The most runs that are read, those that were launched last
        #[arg(short = 'n', long, default_value_t = 1000, value_name = "N")]
        limit: usize,
    },
    /// Shows a run with its steps
    Show {
        /// The id of the run, or its beginning
        id: String,
        /// The most attempts that are shown, the last ones
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// Adds the outcomes to the JSON, which may have secrets
        #[arg(long)]
        payloads: bool,
    },
    /// Says why a run stands, and the next command
    #[command(visible_alias = "diagnose")]
    Why {
        /// The id of the run, or its beginning
        id: String,
    },
    /// Shows the changes of a run until it ends
    Watch {
        /// The id of the run, or its beginning
        id: String,
        /// The longest time
        #[arg(long = "for", value_parser = humantime::parse_duration, value_name = "TIME")]
        limit: Option<Duration>,
    },
    /// Waits until runs have ended; the exit code is 1 when one of them has not succeeded
    Wait {
        /// The ids of the runs, or their beginnings
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// The longest time
        #[arg(long = "for", value_parser = humantime::parse_duration, value_name = "TIME")]
        limit: Option<Duration>,
    },
    /// Prints the outcome of a run, or of a step, as JSON
    Outcome {
        /// The id of the run, or its beginning
        id: String,
        /// The step, from 1
        #[arg(long, value_name = "N")]
        step: Option<u32>,
    },
    /// Resumes runs at the steps at which they failed or were cancelled; done steps are not run again
    Resume(RunActs),
    /// Cancels runs: no further step starts
    Cancel(RunActs),
    /// Tries the steps again at which runs stand, now
    Retry {
        /// The runs.
        #[command(flatten)]
        act: RunActs,
        /// The step, from 1; 0 is the build. Without it the step at which each run stands
        #[arg(long, value_name = "N")]
        step: Option<u32>,
    },
    /// Forgets runs that have ended
    Purge(RunActs),
    /// Counts the step at which a run stands as done, and goes on
    Skip(StepAct),
    /// Ends an external step, as its report from outside does
    Report(StepAct),
    /// Launches a new run that repeats a run from a step on
    Fork {
        /// The id of the run, or its beginning
        id: String,
        /// The first step that runs again, from 1
        #[arg(long, value_name = "N")]
        from: u32,
    },
}

/// A filter for runs.
#[derive(Debug, Args)]
pub struct RunFilter {
    /// Only runs with this status: pending, running, success, failed or cancelled
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
    /// The operation and the times.
    #[command(flatten)]
    pub times: RunTimes,
}

/// A filter for runs, by their operation and the time of their launch.
#[derive(Debug, Args)]
pub struct RunTimes {
    /// Only runs of this operation
    #[arg(long, value_name = "NAME")]
    pub op: Option<String>,
    /// Only runs that were launched within this time
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub since: Option<Duration>,
    /// Only runs that were launched longer ago
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub until: Option<Duration>,
}

/// The runs of an act.
#[derive(Debug, Args)]
pub struct RunActs {
    /// The ids of runs, or their beginnings
    #[arg(required_unless_present_any = ["status", "op", "since", "until", "cause"], value_name = "ID",
        conflicts_with_all = ["status", "op", "since", "until", "cause"])]
    pub ids: Vec<String>,
    /// The filter, in place of ids.
    #[command(flatten)]
    pub filter: RunFilter,
    /// Only runs that have failed of this cause: the beginning of the id that `causes` shows
    #[arg(long, value_name = "ID")]
    pub cause: Option<CausePrefix>,
    /// Takes this many, and the others once these have succeeded
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub canary: u64,
    /// The most runs a second
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Stops when this many runs have failed again
    #[arg(long, value_name = "N")]
    pub stop_after: Option<u64>,
    /// The time that the runs have to end; 60s for many, none for one
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub wait: Option<Duration>,
    /// The consent.
    #[command(flatten)]
    pub consent: Consent,
    /// The actor and the reason.
    #[command(flatten)]
    pub by: By,
}

/// An act on a step.
#[derive(Debug, Args)]
pub struct StepAct {
    /// The id of the run, or its beginning
    pub id: String,
    /// The step, from 1
    #[arg(long, value_name = "N")]
    pub step: u32,
    /// The outcome as JSON, such as {"stdout":"by hand"}, or @FILE, or - for the standard input
    #[arg(long, value_name = "JSON")]
    pub outcome: String,
    /// Shows the act beforehand, and does nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The actor and the reason.
    #[command(flatten)]
    pub by: By,
}

/// The actor of an act and the reason, which are kept with the attempts of the run.
#[derive(Debug, Args)]
pub struct By {
    /// The person or program that acts
    #[arg(long, env = "KSER_ACTOR", default_value = "kser", value_name = "NAME")]
    pub actor: String,
    /// The reason
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub reason: String,
}

/// A launch of an operation.
#[derive(Debug, Args)]
pub struct Launch {
    /// The name of the operation, such as shop.Order
    pub name: String,
    /// The params as a JSON object, or @FILE, or - for the standard input
    #[arg(default_value = "{}", value_name = "PARAMS")]
    pub params: String,
    /// The id of the run, by which a second launch is none; random without it
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Waits until the run has ended; the exit code is 1 when it has not succeeded
    #[arg(long)]
    pub wait: bool,
    /// The longest time to wait
    #[arg(long = "for", requires = "wait", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub limit: Option<Duration>,
}

/// A task that is sent alone.
#[derive(Debug, Args)]
pub struct Send {
    /// The name of the task, such as mail.Send
    pub entrypoint: String,
    /// The params as a JSON object, or @FILE, or - for the standard input
    #[arg(default_value = "{}", value_name = "PARAMS")]
    pub params: String,
    /// The key: tasks of one key run in order
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}
