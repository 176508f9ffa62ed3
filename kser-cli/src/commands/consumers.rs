use kser::presence::{AnnouncedConsumer, PresentState, RunningTask};
use kser_ops::{Ops, OpsError, Spoken};

use crate::args::Consumers;
use crate::exit::Exit;
use crate::output::{Output, clean, count, or_dash};

/// Lists the consumers that are alive, or shows one.
pub(super) async fn run(
    command: &Consumers,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let id = match command {
        Consumers::Ls => None,
        Consumers::Show { id } => Some(id),
    };
    let mut found = ops.consumers().await?;
    if let Some(id) = id {
        found.retain(|consumer| consumer.presence.id == *id || is_named(consumer, id));
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

fn is_named(consumer: &AnnouncedConsumer, name: &str) -> bool {
    let instance = consumer.presence.instance.as_ref();
    instance.is_some_and(|instance| instance.to_string() == name)
}

fn list(found: &[AnnouncedConsumer], out: &mut Output) {
    if found.is_empty() {
        return out.line("no consumer has announced itself");
    }
    let rows = found.iter().map(|consumer| {
        let presence = &consumer.presence;
        let running = presence.running.len() + presence.more_running;
        [
            presence.id.clone(),
            or_dash(presence.version.as_ref()),
            state(consumer).to_owned(),
            format!("{running} of {}", presence.places),
            presence.held.to_string(),
            or_dash(presence.lag.map(count).as_ref()),
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

const fn state(consumer: &AnnouncedConsumer) -> &'static str {
    if consumer.is_silent {
        return "silent";
    }
    match consumer.presence.state {
        PresentState::Running => "running",
        PresentState::Paused => "paused",
        PresentState::Stopping => "stopping",
        _ => "unknown",
    }
}

/// Returns the points that need a look, or `-`.
fn remarks(consumer: &AnnouncedConsumer) -> String {
    let presence = &consumer.presence;
    let held = presence.held_partitions.iter();
    let mut remarks: Vec<String> = held
        .map(|held| format!("{}/{} is held: {}", held.topic, held.partition, held.reason))
        .collect();
    let apart = presence.not_in_group.iter();
    remarks.extend(apart.map(|(group, reason)| format!("not in {group}: {reason}")));
    let missing = presence.missing.iter();
    remarks.extend(missing.map(|topic| format!("topic {topic} does not exist")));
    match remarks.is_empty() {
        true => "-".to_owned(),
        false => remarks.join("; "),
    }
}

fn show(consumer: &AnnouncedConsumer, out: &mut Output) {
    let presence = &consumer.presence;
    out.heading(&clean(&presence.id, 400));
    let topics: Vec<String> = presence.topics.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = presence
        .entrypoints
        .iter()
        .map(|name| name.as_str())
        .collect();
    let assigned: Vec<String> = presence
        .assigned
        .iter()
        .map(|(topic, partitions)| format!("{topic} {partitions}"))
        .collect();
    let rows = [
        ("state", state(consumer).to_owned()),
        ("beat", format!("{} ago", Spoken(consumer.age))),
        ("version", or_dash(presence.version.as_ref())),
        ("kser", presence.kser.clone()),
        ("groups", presence.groups.join(", ")),
        ("topics", topics.join(", ")),
        ("partitions", assigned.join(", ")),
        ("names", names.join(", ")),
        (
            "held",
            format!("{} records, {} bytes", presence.held, presence.held_bytes),
        ),
        ("lag", or_dash(presence.lag.map(count).as_ref())),
        ("remarks", remarks(consumer)),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<10} {}", clean(&value, 4000)));
    }
    let rows: Vec<_> = presence
        .running
        .iter()
        .map(|task| running(consumer, task))
        .collect();
    if !rows.is_empty() {
        out.table(
            ["RUNS NOW", "RUN", "STEP", "TRY", "SINCE", "PROGRESS"],
            rows,
        );
    }
}

fn running(consumer: &AnnouncedConsumer, task: &RunningTask) -> [String; 6] {
    let progress = task.progress.as_ref().map(|progress| {
        let of = progress.total.map(|total| format!(" of {total}"));
        format!(
            "{}{} {}",
            progress.done,
            of.unwrap_or_default(),
            progress.text
        )
    });
    [
        task.entrypoint.to_string(),
        or_dash(task.run.as_ref()),
        or_dash(task.step.as_ref()),
        task.attempt.to_string(),
        Spoken(consumer.presence.now.since(task.since)).to_string(),
        or_dash(progress.as_ref()),
    ]
}
