use std::collections::BTreeSet;

use kser_ops::{ConsumerLine, GroupLine, OpsError, PartitionLine, RunningLine, Spoken};

use crate::access::Visitor;
use crate::acts::consumer as consumer_act;
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, ago, cell, count, html};
use crate::links::Links;

/// The most consumers of a page.
const CONSUMERS: usize = 50;

/// The most running attempts of the page, and the fewest of a consumer.
const RUNNING: (usize, usize) = (60, 1);

/// The most names of the page, and the fewest of a consumer.
const NAMES: (usize, usize) = (300, 3);

/// The most partitions of a page, those with the most records that wait first.
const PARTITIONS: usize = 60;

/// Draws the consumers that announce themselves, and the partitions of their groups.
pub(crate) async fn page(web: &Web, visitor: &Visitor) -> Result<Page, OpsError> {
    let found = web
        .ops
        .consumers()
        .await
        .map(|found| found.iter().map(ConsumerLine::new).collect::<Vec<_>>());
    let groups = web.ops.groups(None).await;
    let links = web.options.links();
    let body = html! {
        h1 { "Consumers" }
        @match &found {
            Ok(found) => (consumers(links, found, visitor.may_act)),
            Err(error) => section { p.calm { (cell(&error.to_string())) } },
        }
        @match &groups {
            Ok(groups) => (partitions(web, groups, found.as_deref().unwrap_or_default())),
            Err(error) => section { p.calm { (cell(&error.to_string())) } },
        }
    };
    let page = Page::new("Consumers", Tab::Consumers, body);
    Ok(page.with_command("kser consumers ls").seeing("consumers"))
}

fn consumers(links: &Links, found: &[ConsumerLine], may_act: bool) -> Markup {
    let shown = found.len().min(CONSUMERS);
    let versions: BTreeSet<_> = found
        .iter()
        .filter_map(|it| it.version.as_deref())
        .collect();
    html! {
        p.found id="found" data-shown=(found.len()) {
            @if found.is_empty() { "No consumer has announced itself." } @else {
                (found.len()) @if found.len() == 1 { " consumer announces itself" } @else { " consumers announce themselves" }
                @if versions.len() > 1 { ", of " (versions.len()) " versions" }
                @if found.len() > CONSUMERS { "; the first " (CONSUMERS) " are shown" }
                "."
            }
        }
        @for consumer in found.iter().take(CONSUMERS) { (one(links, consumer, shown, may_act)) }
    }
}

/// Draws one of so many consumers that are shown.
fn one(links: &Links, consumer: &ConsumerLine, shown: usize, may_act: bool) -> Markup {
    let names = share(NAMES, shown);
    let running = consumer.running.len() + consumer.more_running;
    let (class, shape) = match consumer.state {
        "running" => ("ok", "✓"),
        "silent" => ("bad", "✕"),
        _ => ("wait", "❚❚"),
    };
    html! {
        section.consumer data-consumer=(cell(&consumer.id)) data-state=(consumer.state) {
            h2 {
                (cell(&consumer.id)) " "
                span class={ "st " (class) } { i aria-hidden="true" { (shape) } (consumer.state) }
            }
            dl.facts {
                div { dt { "beat" } dd { (Spoken(consumer.age)) " ago" } }
                div { dt { "runs now" } dd { (running) " of " (consumer.places) } }
                div { dt { "holds" } dd { (count(whole(consumer.held))) @if consumer.held == 1 { " record, " } @else { " records, " }  (count(whole(consumer.held_bytes))) " bytes" } }
                @if let Some(lag) = consumer.lag { div { dt { "lag" } dd { (count(lag)) } } }
                @if let Some(oldest) = consumer.oldest_waiting { div { dt { "oldest" } dd { (Spoken(oldest)) } } }
                @if let Some(paused) = &consumer.paused_by { div { dt { "paused by" } dd { (cell(&paused.actor)) @if !paused.reason.is_empty() { ": " (cell(&paused.reason)) } } } }
                @if let Some(version) = &consumer.version { div { dt { "version" } dd { (cell(version)) } } }
                div { dt { "kser" } dd { (cell(&consumer.kser)) } }
                @for (topic, partitions) in &consumer.assigned { div { dt { (cell(topic.as_str())) } dd { "partitions " (cell(partitions)) } } }
            }
            (remarks(consumer))
            (attempts(links, consumer, share(RUNNING, shown)))
            @if may_act && consumer.remote_control {
                nav.acts aria-label="Acts on the consumer" {
                    @for (act, word) in consumer_act::WORDS { a.button href=(links.consumer(&consumer.id, act)) data-act=(act) { (word) "…" } }
                }
            }
            details {
                summary { (consumer.entrypoints.len() + consumer.more_entrypoints) " registered names" }
                p { @for name in consumer.entrypoints.iter().take(names) { code { (cell(name.as_str())) } " " }
                    @let more = consumer.entrypoints.len().saturating_sub(names) + consumer.more_entrypoints;
                    @if more > 0 { "and " (more) " more" } }
            }
        }
    }
}

/// Shares the entries of a page among the consumers that are shown, so that a page stays small.
fn share((most, least): (usize, usize), shown: usize) -> usize {
    (most / shown.max(1)).max(least)
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Lists the points of a consumer that need a look.
fn remarks(consumer: &ConsumerLine) -> Markup {
    html! {
        ul.remarks {
            @for held in &consumer.held_partitions { li { "! " (cell(held.topic.as_str())) "/" (held.partition) " is held: " (cell(&held.reason)) } }
            @for (group, reason) in &consumer.not_in_group { li { "! not in " (cell(group)) ": " (cell(reason)) } }
            @for topic in &consumer.missing { li { "! topic " (cell(topic.as_str())) " does not exist" } }
        }
    }
}

fn attempts(links: &Links, consumer: &ConsumerLine, most: usize) -> Markup {
    let more = consumer.running.len().saturating_sub(most) + consumer.more_running;
    html! {
        @if !consumer.running.is_empty() {
            table.rows {
                thead { tr { th { "Runs now" } th { "Run" } th.n { "Step" } th.n { "Try" } th.n { "For" } th { "Progress" } } }
                tbody { @for task in consumer.running.iter().take(most) { (running(links, task)) } }
            }
            @if more > 0 { p.more { (more) " more" } }
        }
    }
}

fn running(links: &Links, task: &RunningLine) -> Markup {
    html! {
        tr {
            td.name { (cell(task.entrypoint.as_str())) }
            td data-l="run" { @if let Some(run) = &task.run { a href=(links.run(run)) { (cell(run.as_str())) } } @else { (cell(task.uuid.as_str())) } }
            td.n data-l="step" { @if let Some(step) = task.step { (step) } @else { "–" } }
            td.n data-l="try" { (task.attempt) }
            td.n data-l="for" { (Spoken(task.running)) }
            td { @if let Some(progress) = &task.progress {
                @if let Some(total) = progress.total { progress max=(total) value=(progress.done) {} " " }
                (count(progress.done)) @if let Some(total) = progress.total { " of " (count(total)) } " " (cell(&progress.text))
            } }
        }
    }
}

fn partitions(web: &Web, groups: &[GroupLine], found: &[ConsumerLine]) -> Markup {
    let now = web.ops.now();
    let held = |topic: &str, partition: i32| {
        let all = found.iter().flat_map(|consumer| &consumer.held_partitions);
        let mut here =
            all.filter(|held| held.topic.as_str() == topic && held.partition == partition);
        here.next().map(|held| held.reason.as_str())
    };
    let mut lines: Vec<(&GroupLine, &PartitionLine)> = groups
        .iter()
        .flat_map(|group| group.work.partitions.iter().map(move |line| (group, line)))
        .collect();
    let all = lines.len();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.waiting));
    lines.truncate(PARTITIONS);
    lines.sort_by(|(one, line), (other, next)| {
        one.group
            .cmp(&other.group)
            .then(line.partition.cmp(&next.partition))
    });
    html! {
        section aria-labelledby="partitions" {
            h2 id="partitions" { "Partitions" }
            @if lines.is_empty() { p.calm { "There are no groups." } } @else {
                table.rows {
                    thead { tr { th { "Group" } th { "Partition" } th.n { "Settled below" } th.n { "End" } th.n { "Waiting" } th.n { "Done beyond" } th { "Oldest" } th { "Held because" } } }
                    tbody {
                        @for (group, line) in &lines {
                            tr data-partition={ (cell(&group.topic)) "/" (line.partition) } {
                                td.name { (cell(&group.group)) }
                                td { (cell(&group.topic)) "/" (line.partition) }
                                td.n data-l="settled below" { @if let Some(below) = line.settled_below { (below) } @else { "–" } }
                                td.n data-l="end" { (line.end) }
                                td.n data-l="waiting" { (count(line.waiting)) }
                                td.n data-l="done beyond" { (count(line.settled_beyond)) }
                                td data-l="oldest" { @if let Some(at) = line.oldest { (ago(at, now)) } @else { "–" } }
                                td.why { @if let Some(reason) = held(&group.topic, line.partition) { (cell(reason)) } }
                            }
                        }
                    }
                }
                @if all > lines.len() { p.more { "The " (lines.len()) " of " (all) " partitions with the most records that wait." } }
            }
        }
    }
}
