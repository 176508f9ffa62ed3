//! The commands that ask a backend: each asks the model, and prints the answer.

mod bulk;
mod consumers;
mod events;
mod export;
mod input;
mod launch;
mod letter_acts;
mod letters;
mod run_acts;
mod runs;
mod status;
mod topics;
mod waiting;
mod watch;
#[cfg(feature = "web")]
mod web;

use kser_ops::{Ops, OpsError};

use crate::args::Command;
use crate::exit::Exit;
use crate::output::Output;
use crate::terminal::Terminal;

/// Runs a command that asks a backend.
///
/// # Errors
///
/// Those of the question or act.
pub async fn run(
    command: Command,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    match command {
        Command::Status => status::show(ops, out).await,
        Command::Runs(command) => runs::run(command, ops, out, terminal).await,
        Command::Launch(asked) => launch::launch(asked, ops, out).await,
        Command::Send(asked) => launch::send(asked, ops, out).await,
        Command::Letters(command) => letters::run(command, ops, out, terminal).await,
        Command::Events(command) => events::run(command, ops, out, terminal).await,
        Command::Consumers(command) => consumers::run(command, ops, out).await,
        Command::Topics => topics::topics(ops, out).await,
        Command::Groups { group } => topics::groups(group.as_deref(), ops, out).await,
        #[cfg(feature = "web")]
        Command::Web(asked) => web::serve(asked, ops, out, terminal).await,
        Command::Waiting { limit, read } => waiting::list(limit, read, ops, out).await,
        Command::Health(_) | Command::Schema | Command::Completions { .. } | Command::Man => {
            Ok(Exit::Usage)
        }
    }
}
