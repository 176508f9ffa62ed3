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

use crate::args::{Command, Consumers, Letters, Runs};
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
    let is_question = is_question(&command);
    let asked = ask(command, ops, out, terminal);
    match is_question {
        true => ops.within_limit(asked).await,
        // A wait, an act, and a look that goes on have limits of their own.
        false => asked.await,
    }
}

/// Says whether a command is a question with one answer, for which the backend has the time of `--timeout`.
const fn is_question(command: &Command) -> bool {
    match command {
        Command::Status | Command::Topics | Command::Groups { .. } | Command::Waiting { .. } => {
            true
        }
        Command::Consumers(command) => matches!(command, Consumers::Ls | Consumers::Show { .. }),
        Command::Letters(command) => matches!(command, Letters::Show { .. }),
        Command::Runs(command) => matches!(
            command,
            Runs::Ls { .. }
                | Runs::Causes { .. }
                | Runs::Show { .. }
                | Runs::Why { .. }
                | Runs::Outcome { .. }
        ),
        _ => false,
    }
}

async fn ask(
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
