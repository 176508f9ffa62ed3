use std::future::Future;
use std::time::Duration;

use kser::Error;
use kser::run::{RunState, Status};
use kser_ops::{Ops, OpsError, Spoken};

use super::run_acts::found;
use crate::exit::Exit;
use crate::output::{Output, clean};
use crate::terminal::Terminal;

/// The time between two looks at a run.
const LOOK: Duration = Duration::from_millis(500);

/// Shows the changes of a run until it ends. As JSON the state at the end is the one document.
pub(super) async fn watch(
    id: &str,
    limit: Option<Duration>,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let id = ops.find_run(id).await?;
    let is_json = out.is_json();
    let watched = async {
        let mut shown = String::new();
        loop {
            let state = ops.run_state(&id).await?;
            let line = clean(&state.to_string(), 400);
            if line != shown && !is_json {
                let left = left(&state, ops).await;
                // A reader that has closed the pipe has seen enough.
                if !terminal.tell(&format!("{line}{left}")) {
                    return Ok(None);
                }
            }
            shown = line;
            if !is_json && state.steps > 0 {
                let done = state.position.saturating_sub(1).min(state.steps);
                terminal.progress(done.into(), Some(state.steps.into()));
            }
            if state.status.is_terminal() {
                return Ok(Some(state));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let state = within(limit, watched).await;
    terminal.end_progress();
    let state = state?;
    if is_json {
        out.document(&state)?;
    }
    Ok(state.as_ref().map_or(Exit::Done, end))
}

/// Returns the estimate of the rest of a run that goes on; empty where there is none.
async fn left(state: &RunState, ops: &Ops) -> String {
    if state.status.is_terminal() {
        return String::new();
    }
    match ops.estimate(&state.id).await {
        Ok(Some(estimate)) => format!(" · about {} more", Spoken(estimate.left)),
        _ => String::new(),
    }
}

/// Waits until runs have ended.
pub(super) async fn wait(
    ids: &[String],
    limit: Option<Duration>,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let ids = found(ids, ops).await?;
    let waited = async {
        let mut states = Vec::new();
        for id in &ids {
            states.push(ops.wait_run(id).await?);
        }
        Ok(states)
    };
    let states = within(limit, waited).await?;
    match out.is_json() {
        true => out.document(&states)?,
        false => states
            .iter()
            .for_each(|state| out.line(clean(&state.to_string(), 400))),
    }
    let failed = states.iter().any(|state| end(state) == Exit::Bad);
    Ok(match failed {
        true => Exit::Bad,
        false => Exit::Done,
    })
}

/// Prints the outcome of a run or of a step, as it is.
pub(super) async fn outcome(
    id: &str,
    step: Option<u32>,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let id = ops.find_run(id).await?;
    let outcome = ops.run_outcome(&id, step).await?;
    let text = serde_json::to_string(&outcome).map_err(|error| OpsError::Invalid {
        what: "the outcome".to_owned(),
        reason: error.to_string(),
    })?;
    out.line(text);
    Ok(Exit::Done)
}

pub(super) fn end(state: &RunState) -> Exit {
    match state.status {
        Status::Success => Exit::Done,
        _ => Exit::Bad,
    }
}

/// Limits a wait.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    wait: impl Future<Output = Result<T, OpsError>> + Send,
) -> Result<T, OpsError> {
    let Some(limit) = limit else {
        return wait.await;
    };
    let waited = tokio::time::timeout(limit, wait).await;
    waited.unwrap_or_else(|_| {
        let what = "the end of the run";
        Err(Error::TimedOut { what }.into())
    })
}
