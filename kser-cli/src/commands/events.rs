use kser::run::{RunEvent, Timestamp};
use kser_ops::{EventLine, Ops, OpsError};

use crate::args::Events;
use crate::exit::Exit;
use crate::output::{Output, clean};
use crate::terminal::Terminal;

/// Shows the events of runs, one a line, until it is interrupted; or those that are there.
pub(super) async fn run(
    command: Events,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let Events::Tail {
        run,
        op,
        since,
        past,
    } = command;
    if out.is_json() && !past {
        return Err(OpsError::Invalid {
            what: "--json".to_owned(),
            reason: "events have no end, and JSON is one document: add --past".to_owned(),
        });
    }
    let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let from = Timestamp::from_millis(ops.now().as_millis().saturating_sub(since));
    let fits = |event: &RunEvent| {
        run.as_deref().is_none_or(|run| event.run.as_str() == run)
            && op.as_deref().is_none_or(|op| event.name.as_str() == op)
    };
    let mut events = ops.events(from).await?;
    if !past {
        loop {
            let event = events.next().await?;
            // A reader that has closed the pipe has seen enough.
            if fits(&event) && !terminal.tell(&line(&event)) {
                return Ok(Exit::Done);
            }
        }
    }
    let mut found = Vec::new();
    while let Some(event) = events.next_past().await? {
        found.extend(fits(&event).then_some(event));
    }
    match out.is_json() {
        true => out.document(&found.iter().map(EventLine::new).collect::<Vec<_>>())?,
        false => found.iter().for_each(|event| out.line(line(event))),
    }
    Ok(Exit::Done)
}

fn line(event: &RunEvent) -> String {
    let step = match event.of {
        0 => "not built".to_owned(),
        of => format!("step {} of {of}", event.position.min(of)),
    };
    let error = event.outcome.as_ref().and_then(kser::Outcome::error);
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    let (run, name, status) = (&event.run, &event.name, event.status);
    clean(
        &format!("{} {run} {name} {status} {step}{error}", event.at),
        600,
    )
}
