use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kser::consumer::{ConsumerHealth, ConsumerState, Health};

use super::{Labels, Out, count, float, one};
use crate::counters::OTHER;

/// The members of each group in this process.
type Groups<'a> = BTreeMap<&'a str, Vec<&'a Health>>;

/// Writes the metrics of the groups that consumers of this process are in.
pub(super) fn write(consumers: &[ConsumerHealth], out: &mut Out<'_>) -> fmt::Result {
    let groups = &members(consumers);
    out.gauge(
        "kser_group_joined",
        "Whether all members of this process are in the group: 0 or 1",
        each(groups, |members| {
            let joined = members.iter().all(|member| member.not_in_group.is_empty());
            Some(float(u64::from(joined)))
        }),
    )?;
    out.gauge(
        "kser_group_assigned_partitions",
        "Partitions that are assigned to this process",
        each(groups, |members| {
            sum(members, |member| member.assigned.len())
        }),
    )?;
    out.gauge(
        "kser_group_lag_records",
        "Records of the assigned partitions that are not done",
        each(groups, |members| {
            let known: Vec<_> = members.iter().filter_map(|member| member.lag).collect();
            (!known.is_empty()).then(|| float(known.iter().sum()))
        }),
    )?;
    out.gauge(
        "kser_group_oldest_waiting_seconds",
        "Age of the oldest received record that is not done, 0 if there is none",
        each(groups, |members| {
            Some(longest(members, |member| member.oldest_waiting).unwrap_or_default())
        }),
    )?;
    out.gauge(
        "kser_group_retention_seconds",
        "Time for which the topics keep their records, the shortest of them",
        each(groups, |members| {
            let kept = members.iter().filter_map(|member| member.retention);
            Some(kept.min()?.as_secs_f64())
        }),
    )?;
    out.gauge(
        "kser_group_last_heard_seconds",
        "Time since the last answer of a broker",
        each(groups, |members| {
            longest(members, |member| member.last_heard)
        }),
    )?;
    out.gauge(
        "kser_group_held_partitions",
        "Assigned partitions that hand out no record for now",
        each(groups, |members| sum(members, |member| member.held.len())),
    )?;
    out.gauge(
        "kser_group_suspects",
        "Deliveries that are suspected poison messages",
        each(groups, |members| sum(members, |member| member.suspects)),
    )?;
    out.gauge(
        "kser_group_missing_topics",
        "Topics that a consumer subscribes to and that do not exist",
        each(groups, |members| {
            sum(members, |member| member.missing.len())
        }),
    )?;
    out.gauge(
        "kser_group_unfit_topics",
        "Topics whose settings put delayed records at risk",
        each(groups, |members| sum(members, |member| member.unfit.len())),
    )?;
    out.counter(
        "kser_group_deleted_records",
        "Records that were deleted before this process received them, an upper bound",
        totals(groups, |member| member.deleted),
    )?;
    out.counter(
        "kser_group_resets",
        "Returns of partitions to smaller offsets, after a topic was created anew or its log was cut",
        totals(groups, |member| member.resets),
    )
}

/// Sorts the members of the consumers that run by their groups.
fn members(consumers: &[ConsumerHealth]) -> Groups<'_> {
    let mut groups = Groups::new();
    let running = consumers
        .iter()
        .filter(|health| health.state == ConsumerState::Running);
    for member in running.flat_map(|health| &health.transport) {
        let group = member.group.as_deref().unwrap_or(OTHER);
        groups.entry(group).or_default().push(member);
    }
    groups
}

/// Makes a series for each group that has a value.
fn each(
    groups: &Groups<'_>,
    value: impl Fn(&[&Health]) -> Option<f64>,
) -> impl Iterator<Item = (Labels, f64)> {
    let groups = groups.iter();
    groups.filter_map(move |(group, members)| Some((one("group", group), value(members)?)))
}

fn totals(groups: &Groups<'_>, figure: fn(&Health) -> u64) -> impl Iterator<Item = (Labels, u64)> {
    let groups = groups.iter();
    groups.map(move |(group, members)| {
        let figures = members.iter().map(|member| figure(member));
        (one("group", group), figures.sum())
    })
}

fn sum(members: &[&Health], figure: fn(&Health) -> usize) -> Option<f64> {
    Some(count(members.iter().map(|member| figure(member)).sum()))
}

fn longest(members: &[&Health], figure: fn(&Health) -> Option<Duration>) -> Option<f64> {
    let longest = members.iter().filter_map(|member| figure(member)).max()?;
    Some(longest.as_secs_f64())
}
