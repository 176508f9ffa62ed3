use kser_ops::{IdDocument, Ops, OpsError};

use super::input;
use super::watch::{end, within};
use crate::args::{Launch, Send};
use crate::exit::Exit;
use crate::output::{Output, clean};

/// Launches an operation, and waits for its end if that is asked for.
pub(super) async fn launch(asked: Launch, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let params = input::params(&asked.params)?;
    let run = ops.launch(&asked.name, params, asked.id.as_deref()).await?;
    if !asked.wait {
        print(run.id().as_str(), out)?;
        return Ok(Exit::Done);
    }
    let waited = async { Ok(run.wait().await?) };
    let state = within(asked.limit, waited).await?;
    match out.is_json() {
        true => out.document(&state)?,
        false => out.line(clean(&state.to_string(), 400)),
    }
    Ok(end(&state))
}

/// Sends a task.
pub(super) async fn send(asked: Send, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let params = input::params(&asked.params)?;
    let id = ops
        .send(&asked.entrypoint, params, asked.key.as_deref())
        .await?;
    print(id.as_str(), out)?;
    Ok(Exit::Done)
}

/// Forks a run.
pub(super) async fn fork(
    id: &str,
    from: u32,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let id = ops.find_run(id).await?;
    let forked = ops.fork_run(&id, from).await?;
    print(forked.as_str(), out)?;
    Ok(Exit::Done)
}

fn print(id: &str, out: &mut Output) -> Result<(), OpsError> {
    match out.is_json() {
        true => out.document(&IdDocument { id })?,
        false => out.line(clean(id, 2000)),
    }
    Ok(())
}
