//! The arguments of the program.

mod events;
mod runs;
#[cfg(feature = "web")]
mod web;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kser_ops::{CausePrefix, LetterAddress};

pub use self::events::Events;
pub use self::runs::{By, Launch, RunActs, RunFilter, RunTimes, Runs, Send, StepAct};
#[cfg(feature = "web")]
pub use self::web::Web;

/// Shows dead letters, topics and groups of kser, names the points that need a hand, and repairs
///
/// Begin with `kser status`: it names the points that need a hand, each with the command that shows more or mends it. `kser runs causes`
/// counts failed runs by cause, `kser letters causes` dead letters.
///
/// Looking takes no part: no group gets a member, and no letter is held back. An act on many things is shown beforehand, and done
/// when its number is typed, or given by --yes.
///
/// Exit codes: 0 done; 1 done, and the answer is bad, as of a program that is not ready; 2 wrong usage; 3 no such thing; 4 refused;
/// 5 a backend did not answer; 6 an act did a part; 7 a time limit is over.
#[derive(Debug, Parser)]
#[command(name = "kser", version, propagate_version = true)]
pub struct Cli {
    /// The options of all commands.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Global {
    /// Kafka, such as kafka://k1:9092?security.protocol=SASL_SSL
    #[arg(
        long,
        global = true,
        env = "KSER_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub kafka: Option<String>,
    /// The state store, such as postgres://kser@db/shop or sqlite:///srv/shop.db
    #[arg(
        long,
        global = true,
        env = "KSER_STORE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store: Option<String>,
    /// Prints one document of JSON, and errors as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours the output
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// The time that a backend has to answer: to a connection, to a question, and for each page of dead letters
    #[arg(long, global = true, value_parser = humantime::parse_duration, default_value = "10s", value_name = "TIME")]
    pub timeout: Duration,
}

/// When the output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Summarizes everything on one screen, with the points that need a hand
    Status,
    /// Shows the runs of a state store, waits for them, and repairs them
    #[command(subcommand)]
    Runs(Runs),
    /// Launches an operation
    Launch(Launch),
    /// Sends a task
    Send(Send),
    /// Shows, replays and discards dead letters
    #[command(subcommand)]
    Letters(Letters),
    /// Shows the events of runs: the changes of their status
    #[command(subcommand)]
    Events(Events),
    /// Shows the consumers that are alive, pauses and drains them
    #[command(subcommand)]
    Consumers(Consumers),
    /// Lists topics, with the records that wait in them
    Topics,
    /// Lists groups, or shows the partitions of one
    Groups {
        /// The name of a group
        group: Option<String>,
    },
    /// Serves the page for browsers: the same questions and acts, and changes as they come
    #[cfg(feature = "web")]
    Web(Web),
    /// Asks a program that serves the probes of kser-observe
    Health(Health),
    /// Lists delayed sends, retries and external steps, the earliest first
    Waiting {
        /// The most waits that are shown
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// The most open runs that are read, those that were launched last, and the most records of a topic
        #[arg(long, default_value_t = 1000, value_name = "N")]
        read: usize,
    },
    /// Prints the JSON schema of the documents that --json prints
    Schema,
    /// Prints the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

/// The commands for consumers.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Consumers {
    /// Lists the consumers that have announced themselves
    Ls,
    /// Shows a consumer, with the tasks that it runs
    Show {
        /// The id of the consumer, or its name
        id: String,
    },
    /// Has a consumer take no new deliveries for a time; it keeps its partitions
    Pause {
        /// The consumer.
        #[command(flatten)]
        act: ConsumerAct,
        /// The length of the pause
        #[arg(long = "for", value_parser = humantime::parse_duration, default_value = "1h", value_name = "TIME")]
        length: Duration,
    },
    /// Ends a pause before its time
    Resume {
        /// The consumer.
        #[command(flatten)]
        act: ConsumerAct,
    },
    /// Shuts a consumer down gracefully: it takes no new deliveries, finishes the running ones, and ends
    Drain {
        /// The consumer.
        #[command(flatten)]
        act: ConsumerAct,
    },
}

/// A consumer that is told a command. Its program allows it by `Consumer::with_remote_control`.
#[derive(Debug, Args)]
pub struct ConsumerAct {
    /// The id of the consumer, or its name
    pub id: String,
    /// The longest time until the consumer is seen to obey
    #[arg(long, value_parser = humantime::parse_duration, default_value = "20s", value_name = "TIME")]
    pub wait: Duration,
    /// The actor and the reason.
    #[command(flatten)]
    pub by: By,
}

/// The commands for dead letters.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Letters {
    /// Lists dead letters one by one
    Ls {
        /// The letters.
        #[command(flatten)]
        which: Which,
        /// The most letters that are shown
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Groups dead letters by their causes
    Causes {
        /// The letters.
        #[command(flatten)]
        which: Which,
    },
    /// Shows one dead letter
    Show {
        /// The place of the letter, as dice.dlt/0/118
        address: LetterAddress,
        /// Shows the payload, which may have secrets
        #[arg(long)]
        payload: bool,
    },
    /// Writes letters one a line, as JSON; an export that was interrupted goes on with --after
    Export {
        /// The letters.
        #[command(flatten)]
        which: Which,
        /// Goes on behind the letter at this place
        #[arg(long, value_name = "ADDRESS")]
        after: Option<LetterAddress>,
        /// Adds keys, headers and payloads, byte for byte, which may have secrets
        #[arg(long)]
        payload: bool,
    },
    /// Sends letters again to where they came from; done steps are not run again
    Replay {
        /// The letters, and the consent.
        #[command(flatten)]
        act: Act,
        /// Replays this many, and the others once the runs of these have succeeded
        #[arg(long, default_value_t = 0, value_name = "N")]
        canary: u64,
        /// The most letters a second
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
        /// Stops when this many runs have failed again
        #[arg(long, value_name = "N")]
        stop_after: Option<u64>,
        /// Leaves letters that were replayed more often before
        #[arg(long, default_value_t = 3, value_name = "N")]
        max_replays: u64,
        /// The time that the runs have to end
        #[arg(long, value_parser = humantime::parse_duration, default_value = "60s", value_name = "TIME")]
        wait: Duration,
    },
    /// Writes letters again, at the end of their topic, so that their retention begins anew
    Renew {
        /// The letters, and the consent.
        #[command(flatten)]
        act: Act,
    },
    /// Forgets letters
    Discard {
        /// The letters, and the consent.
        #[command(flatten)]
        act: Act,
    },
}

/// A choice of dead letters.
#[derive(Debug, Args)]
pub struct Which {
    /// The topic; all topics without it
    pub topic: Option<String>,
    /// The filter.
    #[command(flatten)]
    pub filter: Filter,
}

/// A filter for dead letters.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only letters of this cause: the beginning of the id that `causes` shows
    #[arg(long, value_name = "ID")]
    pub cause: Option<CausePrefix>,
    /// Only letters of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only letters that failed within this time
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    pub since: Option<Duration>,
}

/// The letters of an act.
#[derive(Debug, Args)]
pub struct Act {
    /// The places of letters, as dice.dlt/0/118
    #[arg(required_unless_present_any = ["topic", "all_topics"], value_name = "ADDRESS")]
    pub addresses: Vec<LetterAddress>,
    /// The letters of this topic
    #[arg(long, conflicts_with = "addresses", value_name = "TOPIC")]
    pub topic: Option<String>,
    /// The letters of all topics
    #[arg(long, conflicts_with_all = ["addresses", "topic"])]
    pub all_topics: bool,
    /// The filter.
    #[command(flatten)]
    pub filter: Filter,
    /// The consent.
    #[command(flatten)]
    pub consent: Consent,
}

/// The consent to an act on many things.
#[derive(Debug, Args)]
pub struct Consent {
    /// Does it if it takes exactly this many, without a question
    #[arg(long, value_name = "N")]
    pub yes: Option<u64>,
    /// Shows the act beforehand, and does nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// The question of `health`.
#[derive(Debug, Args)]
pub struct Health {
    /// The address of the program
    #[arg(long, default_value = "http://127.0.0.1:8788", value_name = "URL")]
    pub url: String,
    /// Asks whether the program is ready
    #[arg(long, group = "probe")]
    pub ready: bool,
    /// Asks whether the program works
    #[arg(long, group = "probe")]
    pub live: bool,
    /// Asks whether the program has started
    #[arg(long, group = "probe")]
    pub started: bool,
}
