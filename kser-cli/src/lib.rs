#![doc = include_str!("../README.md")]

pub mod args;
mod commands;
mod exit;
mod output;
mod terminal;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use kser::client::{Clock, SystemClock};
use kser_ops::{Access, ErrorDocument, ErrorKind, Ops, OpsError, Probe, SCHEMA, probe};

use self::args::{Cli, Colour, Command, Global, Health};
pub use self::commands::run;
pub use self::exit::Exit;
pub use self::output::Output;
pub use self::terminal::{ProcessTerminal, Terminal};

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.global.color {
        Colour::Auto => {}
        Colour::Always => anstream::ColorChoice::Always.write_global(),
        Colour::Never => anstream::ColorChoice::Never.write_global(),
    }
    let json = cli.global.json;
    match start(cli) {
        Ok((text, exit)) => print(&text, exit),
        Err(error) => fail(&error, json),
    }
}

/// Runs a command on a runtime of its own.
fn start(cli: Cli) -> Result<(String, Exit), OpsError> {
    match cli.command {
        Command::Completions { shell } => return Ok((completions(shell), Exit::Done)),
        Command::Man => return Ok((manual()?, Exit::Done)),
        Command::Schema => return Ok((SCHEMA.to_owned(), Exit::Done)),
        _ => {}
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| OpsError::Invalid {
        what: "the runtime".to_owned(),
        reason: error.to_string(),
    })?;
    let done = runtime.block_on(ask(cli));
    // A thread of a client that waits for a broker holds nothing up.
    runtime.shutdown_background();
    done
}

async fn ask(cli: Cli) -> Result<(String, Exit), OpsError> {
    let Cli { global, command } = cli;
    let mut out = Output::new(global.json, width(), SystemClock::new().wall());
    if let Command::Health(question) = &command {
        let exit = health(question, &global, &mut out).await?;
        return Ok((out.into_text(), exit));
    }
    let access = Access::new(global.kafka, global.store)?.with_timeout(global.timeout);
    let ops = Ops::connect(&access).await?;
    let exit = run(command, &ops, &mut out, &mut ProcessTerminal::find()).await?;
    Ok((out.into_text(), exit))
}

async fn health(question: &Health, global: &Global, out: &mut Output) -> Result<Exit, OpsError> {
    let asked = match question {
        Health { ready: true, .. } => Probe::Ready,
        Health { live: true, .. } => Probe::Live,
        Health { started: true, .. } => Probe::Started,
        _ => Probe::Health,
    };
    let answer = probe(&question.url, asked, global.timeout).await?;
    match (out.is_json(), &answer.health) {
        (true, _) => out.document(&answer)?,
        (false, Some(health)) => out.document(health)?,
        (false, None) => {
            answer
                .text
                .lines()
                .for_each(|line| out.line(output::clean(line, 400)));
        }
    }
    Ok(match answer.ok {
        true => Exit::Done,
        false => Exit::Bad,
    })
}

/// Returns the width of the terminal; `None` where the output is none, so that each row is a line.
fn width() -> Option<u16> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(width.0.max(40))
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kser", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn manual() -> Result<String, OpsError> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(Cli::command());
    page.render(&mut text).map_err(|error| OpsError::Invalid {
        what: "the manual page".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Prints the answer. A reader that has closed the pipe has seen enough.
fn print(text: &str, exit: Exit) -> ExitCode {
    let mut to = anstream::stdout().lock();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => exit.into(),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => Exit::Silent.into(),
    }
}

fn fail(error: &OpsError, json: bool) -> ExitCode {
    let (exit, text) = (Exit::of(error), error.to_string());
    let text = output::clean(&text, 2000);
    let _ = match json {
        true => {
            let document = ErrorDocument::new(error, &text);
            writeln!(anstream::stderr(), "{}", serde_json::json!(document))
        }
        false => writeln!(anstream::stderr(), "kser: {text}"),
    };
    exit.into()
}

/// Prints the text of clap: help and version, which are answers, or the mistake in the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.to_string();
        let document = ErrorDocument::of(ErrorKind::Usage, text.trim(), false);
        let _ = writeln!(anstream::stderr(), "{}", serde_json::json!(document));
        return Exit::Usage.into();
    }
    let _ = error.print();
    match error.use_stderr() {
        true => Exit::Usage.into(),
        false => Exit::Done.into(),
    }
}
