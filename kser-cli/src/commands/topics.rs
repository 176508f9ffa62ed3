use kser_ops::{Backlog, GroupLine, Ops, OpsError};

use crate::exit::Exit;
use crate::output::{Output, count, or_dash};

/// Lists the work topics.
pub(super) async fn topics(ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let topics = ops.topics().await?;
    if out.is_json() {
        out.document(&topics)?;
        return Ok(Exit::Done);
    }
    let rows = topics.iter().map(|line| {
        let (work, letters) = (line.work.as_ref(), line.letters.as_ref());
        [
            line.topic.clone(),
            line.group.clone(),
            or_dash(work.map(|work| work.partitions.len()).as_ref()),
            waiting(work),
            out.ago(work.and_then(|work| work.oldest)),
            waiting(letters),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        out.line("there are no topics");
        return Ok(Exit::Done);
    }
    out.table(
        [
            "TOPIC",
            "GROUP",
            "PARTITIONS",
            "WAITING",
            "OLDEST",
            "LETTERS",
        ],
        rows,
    );
    Ok(Exit::Done)
}

/// Counts the records that wait in a topic, if it exists.
pub(super) fn waiting(backlog: Option<&Backlog>) -> String {
    backlog.map_or_else(|| "no topic".to_owned(), |it| count(it.waiting))
}

/// Lists groups, or shows the partitions of one.
pub(super) async fn groups(
    group: Option<&str>,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let groups = ops.groups(group).await?;
    if out.is_json() {
        out.document(&groups)?;
        return Ok(Exit::Done);
    }
    match group {
        Some(_) => groups.iter().for_each(|line| partitions(line, out)),
        None => list(&groups, out),
    }
    Ok(Exit::Done)
}

fn list(groups: &[GroupLine], out: &mut Output) {
    let rows = groups.iter().map(|line| {
        let known = match line.known {
            true => "yes",
            false => "no consumer yet",
        };
        [
            line.group.clone(),
            line.topic.clone(),
            known.to_owned(),
            count(line.work.waiting),
            count(line.work.settled_beyond),
            out.ago(line.work.oldest),
        ]
    });
    let rows = rows.collect();
    out.table(
        [
            "GROUP",
            "TOPIC",
            "KNOWN",
            "WAITING",
            "DONE BEYOND",
            "OLDEST",
        ],
        rows,
    );
    out.line(
        "members are not shown: the protocol of KIP-848 has no request for them in this client",
    );
}

fn partitions(line: &GroupLine, out: &mut Output) {
    out.heading(&format!("{} · topic {}", line.group, line.topic));
    let rows = line.work.partitions.iter().map(|partition| {
        [
            partition.partition.to_string(),
            or_dash(partition.settled_below.as_ref()),
            partition.end.to_string(),
            count(partition.waiting),
            count(partition.settled_beyond),
            out.ago(partition.oldest),
        ]
    });
    let rows = rows.collect();
    let head = [
        "PARTITION",
        "SETTLED BELOW",
        "END",
        "WAITING",
        "DONE BEYOND",
        "OLDEST",
    ];
    out.table(head, rows);
}
