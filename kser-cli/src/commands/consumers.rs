use kser_ops::{ConsumerLine, ConsumerVerb, Ops, OpsError, PauseLine, RunningLine, Spoken};

use crate::args::{ConsumerAct, Consumers};
use crate::exit::Exit;
use crate::output::{Output, clean, count, or_dash};

/// Runs a command for consumers.
pub(super) async fn run(command: Consumers, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    match command {
        Consumers::Ls => look(None, ops, out).await,
        Consumers::Show { id } => look(Some(&id), ops, out).await,
        Consumers::Pause { act: told, length } => {
            act(ConsumerVerb::Pause { length }, &told, ops, out).await
        }
        Consumers::Resume { act: told } => act(ConsumerVerb::Resume, &told, ops, out).await,
        Consumers::Drain { act: told } => act(ConsumerVerb::Drain, &told, ops, out).await,
    }
}

/// Tells a consumer a command, and whether it was seen to obey.
async fn act(
    verb: ConsumerVerb,
    told: &ConsumerAct,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let by = (told.by.actor.as_str(), told.by.reason.as_str());
    let report = ops.act_on_consumers(&told.id, verb, by, told.wait).await?;
    if out.is_json() {
        out.document(&report)?;
    } else {
        for consumer in &report.consumers {
            let id = clean(&consumer.id, 400);
            match consumer.obeyed {
                true => out.line(format!("{id} {}", obeys(verb))),
                false => out.alert(&format!(
                    "{id} was told, and is not seen to obey: kser consumers show {id}"
                )),
            }
        }
    }
    Ok(match report.is_obeyed() {
        true => Exit::Done,
        false => Exit::TimedOut,
    })
}

fn obeys(verb: ConsumerVerb) -> String {
    match verb {
        ConsumerVerb::Pause { length } => format!("is paused for {}", Spoken(length)),
        ConsumerVerb::Resume => "takes deliveries".to_owned(),
        _ => "shuts down".to_owned(),
    }
}

/// Lists the consumers that are alive, or shows one.
async fn look(id: Option<&str>, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let found = ops.consumers().await?;
    let mut found: Vec<_> = found.iter().map(ConsumerLine::new).collect();
    if let Some(id) = id {
        found.retain(|consumer| consumer.is_called(id));
        if found.is_empty() {
            return Err(OpsError::NotFound {
                what: format!("no consumer {id} has announced itself"),
            });
        }
    }
    match (out.is_json(), id) {
        (true, _) => out.document(&found)?,
        (false, Some(_)) => found.iter().for_each(|consumer| show(consumer, out)),
        (false, None) => list(&found, out),
    }
    Ok(Exit::Done)
}

fn list(found: &[ConsumerLine], out: &mut Output) {
    if found.is_empty() {
        return out.line("no consumer has announced itself");
    }
    let rows = found.iter().map(|consumer| {
        let running = consumer.running.len() + consumer.more_running;
        [
            consumer.id.clone(),
            or_dash(consumer.version.as_ref()),
            consumer.state.to_owned(),
            format!("{running} of {}", consumer.places),
            consumer.held.to_string(),
            or_dash(consumer.lag.map(count).as_ref()),
            Spoken(consumer.age).to_string(),
            remarks(consumer),
        ]
    });
    let rows = rows.collect();
    let head = [
        "CONSUMER", "VERSION", "STATE", "RUNS NOW", "HELD", "LAG", "BEAT", "REMARKS",
    ];
    out.table(head, rows);
}

/// Returns the points that need a look, or `-`.
fn remarks(consumer: &ConsumerLine) -> String {
    let held = consumer.held_partitions.iter();
    let mut remarks: Vec<String> = consumer.paused_by.iter().map(pause).collect();
    remarks.extend(
        held.map(|held| format!("{}/{} is held: {}", held.topic, held.partition, held.reason)),
    );
    let apart = consumer.not_in_group.iter();
    remarks.extend(apart.map(|(group, reason)| format!("not in {group}: {reason}")));
    let missing = consumer.missing.iter();
    remarks.extend(missing.map(|topic| format!("topic {topic} does not exist")));
    match remarks.is_empty() {
        true => "-".to_owned(),
        false => remarks.join("; "),
    }
}

fn pause(by: &PauseLine) -> String {
    let reason = match by.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    format!("paused by {}{reason} until {}", by.actor, by.until)
}

fn show(consumer: &ConsumerLine, out: &mut Output) {
    out.heading(&clean(&consumer.id, 400));
    let topics: Vec<String> = consumer.topics.iter().map(ToString::to_string).collect();
    let names = consumer.entrypoints.iter();
    let names: Vec<&str> = names.map(|name| name.as_str()).collect();
    let assigned = consumer.assigned.iter();
    let assigned: Vec<String> = assigned
        .map(|(topic, partitions)| format!("{topic} {partitions}"))
        .collect();
    let rows = [
        ("state", consumer.state.to_owned()),
        ("beat", format!("{} ago", Spoken(consumer.age))),
        ("version", or_dash(consumer.version.as_ref())),
        ("kser", consumer.kser.clone()),
        ("groups", consumer.groups.join(", ")),
        ("topics", topics.join(", ")),
        ("partitions", assigned.join(", ")),
        ("names", names.join(", ")),
        (
            "held",
            format!("{} records, {} bytes", consumer.held, consumer.held_bytes),
        ),
        ("lag", or_dash(consumer.lag.map(count).as_ref())),
        (
            "operators",
            match consumer.remote_control {
                true => "may pause, resume and drain it",
                false => "may look at it",
            }
            .to_owned(),
        ),
        ("remarks", remarks(consumer)),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<10} {}", clean(&value, 4000)));
    }
    let rows: Vec<_> = consumer.running.iter().map(running).collect();
    if !rows.is_empty() {
        out.table(
            ["RUNS NOW", "RUN", "STEP", "TRY", "SINCE", "PROGRESS"],
            rows,
        );
    }
}

fn running(task: &RunningLine) -> [String; 6] {
    let progress = task.progress.as_ref().map(|progress| {
        let of = progress.total.map(|total| format!(" of {total}"));
        let (done, of) = (progress.done, of.unwrap_or_default());
        format!("{done}{of} {}", progress.text)
    });
    [
        task.entrypoint.to_string(),
        or_dash(task.run.as_ref()),
        or_dash(task.step.as_ref()),
        task.attempt.to_string(),
        Spoken(task.running).to_string(),
        or_dash(progress.as_ref()),
    ]
}
