use std::fmt;

use kser::run::Timestamp;

use super::{Labels, Out, count, float, one};
use crate::watched::{Letters, Look, Partition};

/// Writes the metrics of the latest look at a client. Where none is watched they have no series.
pub(super) fn write(look: Option<&Look>, now: Timestamp, out: &mut Out<'_>) -> fmt::Result {
    let letters = look.map_or(&[][..], |look| &look.letters);
    let each = |figure: &dyn Fn(&Letters) -> Option<f64>| {
        let series = letters.iter();
        let series = series.filter_map(|of| Some((one("topic", &of.topic), figure(of)?)));
        series.collect::<Vec<(Labels, f64)>>()
    };
    out.gauge(
        "kser_letters_waiting",
        "Dead letters that are neither replayed nor discarded, by the topic of their records",
        each(&|of| Some(float(of.waiting))),
    )?;
    out.gauge(
        "kser_letter_oldest_seconds",
        "Age of the oldest dead letter that is neither replayed nor discarded",
        each(&|of| Some(now.since(of.oldest?).as_secs_f64())),
    )?;
    out.gauge(
        "kser_letters_retention_seconds",
        "Time for which dead letters are kept; absent where they are kept for ever",
        each(&|of| Some(of.kept?.as_secs_f64())),
    )?;
    partitions(look, now, out)?;
    let runs = look.and_then(|look| look.runs).into_iter().flatten();
    out.gauge(
        "kser_runs_open",
        "Runs of the state store that have not succeeded, by their status; 10000 means so many or more",
        runs.map(|(status, number)| (one("status", status), float(number))),
    )?;
    let consumers = look.and_then(|look| look.consumers);
    let consumers = consumers.into_iter().flatten();
    out.gauge(
        "kser_announced_consumers",
        "Consumers of all processes that announce themselves, by their state",
        consumers.map(|(state, number)| (one("state", state), count(number))),
    )?;
    let age = look.map(|look| (Labels::new(), now.since(look.at).as_secs_f64()));
    out.gauge(
        "kser_watch_age_seconds",
        "Time since the latest look at dead letters and announced consumers",
        age,
    )
}

/// Writes the backlog of the work topics.
fn partitions(look: Option<&Look>, now: Timestamp, out: &mut Out<'_>) -> fmt::Result {
    let partitions = look.map_or(&[][..], |look| &look.partitions);
    let labels = |of: &Partition| {
        let number = of.partition.to_string();
        let names = [of.topic.clone(), of.group.clone(), number];
        let labels = ["topic", "group", "partition"].into_iter().zip(names);
        labels.collect::<Labels>()
    };
    out.gauge(
        "kser_partition_lag_records",
        "Records of a partition that its group has not settled, of the 500 partitions with the most",
        partitions.iter().map(|of| (labels(of), float(of.waiting))),
    )?;
    let oldest = partitions.iter().filter_map(|of| {
        let age = now.since(of.oldest?);
        Some((labels(of), age.as_secs_f64()))
    });
    out.gauge(
        "kser_partition_oldest_seconds",
        "Age of the oldest record of a partition that its group has not settled",
        oldest,
    )
}
