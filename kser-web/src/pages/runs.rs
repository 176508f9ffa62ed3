use std::time::Duration;

use kser::run::{RunFilter, Status, Timestamp};
use kser_ops::{OpsError, RunLine, RunPage};

use crate::access::Visitor;
use crate::acts::words::{self, MANY};
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, ago, bounded, cell, count, html, stands, status};
use crate::links::Links;
use crate::params::Params;

/// The runs of a page.
const PAGE: usize = 50;

/// The largest exact number of runs.
const COUNTED: u64 = 1000;

/// Draws a page of the runs that fit the filter of the address.
pub(crate) async fn page(web: &Web, visitor: &Visitor, params: &Params) -> Result<Page, OpsError> {
    let now = web.ops.now();
    let filter = filter(params, now)?;
    let page = web.ops.runs(&filter).await?;
    let all = match (&page.next, &filter.after) {
        (None, None) => u64::try_from(page.runs.len()).unwrap_or(u64::MAX),
        _ => web.ops.count_runs(&filter, COUNTED).await?,
    };
    let links = web.options.links();
    let body = html! {
        h1 { "Runs" }
        (form(links, params))
        (found(&page, all, params))
        @if visitor.may_act && !page.runs.is_empty() { (acts(links, params)) }
        (table(links, &page, now))
        (turn(links, &page, &filter, params))
    };
    let page = Page::new("Runs", Tab::Runs, body);
    Ok(page.with_command(command(params)).seeing("runs"))
}

/// Reads the filter of a list of runs, with the names that the program `kser` has for them.
pub(crate) fn filter(params: &Params, now: Timestamp) -> Result<RunFilter, OpsError> {
    let times = (bound(params, "since", now)?, bound(params, "until", now)?);
    let mut filter = RunFilter::default().with_launched(times.0, times.1);
    filter.status = params.read::<Status>("status")?;
    filter.name = params.get("op").map(|name| name.trim().into());
    let limit = params.read("limit")?.unwrap_or(PAGE);
    Ok(filter.with_limit(limit).with_after(params.read("after")?))
}

/// Reads a bound of the time of the launch: an age, such as `1h`, or a time of day.
fn bound(params: &Params, name: &str, now: Timestamp) -> Result<Option<Timestamp>, OpsError> {
    let Some(text) = params.get(name).map(str::trim) else {
        return Ok(None);
    };
    if let Ok(at) = humantime::parse_rfc3339(text) {
        return Ok(Some(at.into()));
    }
    let age: Duration = humantime::parse_duration(text).map_err(|error| OpsError::Invalid {
        what: format!("{name}={text:?}"),
        reason: format!("it is an age, such as 90m, or a time, such as {now}: {error}"),
    })?;
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Ok(Some(Timestamp::from_millis(
        now.as_millis().saturating_sub(age),
    )))
}

fn form(links: &Links, params: &Params) -> Markup {
    let chosen = params
        .get("status")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let words = ["pending", "running", "success", "failed", "cancelled"];
    html! {
        form.filter action=(links.to("/runs")) id="filter" {
            label { "Status " select name="status" {
                option value="" { "any" }
                @for word in words { option value=(word) selected[word == chosen] { (word) } }
            } }
            label { "Operation " input name="op" value=(cell(params.get("op").unwrap_or_default())) placeholder="shop.Order" spellcheck="false"; }
            label { "Launched within " input.short name="since" value=(cell(params.get("since").unwrap_or_default())) placeholder="1h"; }
            label { "and before " input.short name="until" value=(cell(params.get("until").unwrap_or_default())) placeholder="10m"; }
            button.primary { "Show" }
            a href=(links.to("/causes")) { "failed ones by cause" }
        }
    }
}

/// Says how many runs there are, and which of them are shown.
fn found(page: &RunPage, all: u64, params: &Params) -> Markup {
    let shown = page.runs.len();
    let is_first = params.get("after").is_none();
    html! {
        p.found id="found" data-shown=(shown) {
            @if shown == 0 { "No such runs" @if !is_first { " beyond this place" } "." }
            @else if page.next.is_none() && is_first { (count(all)) " runs, the latest launched first." }
            @else { (shown) " of " (bounded(all, COUNTED)) " runs, the latest launched first." }
        }
    }
}

/// Draws the acts on all runs that fit the filter.
fn acts(links: &Links, params: &Params) -> Markup {
    let filter = params.clone().without("after").without("limit");
    let all = MANY
        .into_iter()
        .filter_map(|name| words::of_runs(name).ok());
    html! {
        nav.acts aria-label="Acts on all of them" {
            "All of them: "
            @for words in all { a href=(filter.after(&links.to(&format!("/plan/runs/{}", words.name)))) data-act=(words.name) { (words.button) "…" } " " }
        }
    }
}

fn table(links: &Links, page: &RunPage, now: Timestamp) -> Markup {
    html! {
        @if !page.runs.is_empty() {
            table.rows.boxed {
                thead { tr { th { "Run" } th { "Operation" } th { "Status" } th.n { "Step" } th { "Launched" } th { "Changed" } th { "Why" } } }
                tbody { @for run in &page.runs { (row(links, run, now)) } }
            }
        }
    }
}

fn row(links: &Links, run: &RunLine, now: Timestamp) -> Markup {
    html! {
        tr data-run=(cell(run.id.as_str())) {
            td.name { a href=(links.run(&run.id)) { (cell(run.id.as_str())) } }
            td { (cell(run.operation.as_str())) }
            td { (status(run.status)) }
            td.n data-l="step" { (stands((run.position, run.steps))) }
            td data-l="launched" { (ago(run.launched, now)) }
            td data-l="changed" { (ago(run.changed, now)) }
            td.why { @if let Some(failure) = &run.failure { (cell(&failure.error)) } }
        }
    }
}

fn turn(links: &Links, page: &RunPage, filter: &RunFilter, params: &Params) -> Markup {
    // The cursor belongs to these very times.
    let exact = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let (since, until) = (exact(filter.launched_from), exact(filter.launched_until));
    let base = params.clone().with("since", since.as_deref());
    let base = base.with("until", until.as_deref()).without("after");
    let path = links.to("/runs");
    html! {
        nav.turn aria-label="Pages of the list" {
            @if params.get("after").is_some() { a href=(base.after(&path)) rel="first" id="newest" { "⇤ newest" } }
            @if let Some(next) = &page.next { a href=(base.with("after", Some(&next.to_string())).after(&path)) rel="next" id="older" { "older →" } }
        }
    }
}

/// Returns the command that shows the same list.
fn command(params: &Params) -> String {
    let names = ["status", "op", "since", "until", "after"];
    let set = names
        .iter()
        .filter_map(|name| Some((name, params.get(name)?)));
    let options: String = set
        .map(|(name, value)| format!(" --{name} {value}"))
        .collect();
    format!("kser runs ls{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_849_200_000);

    fn read(query: &str) -> Result<RunFilter, String> {
        filter(&Params::of(Some(query)), NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn a_filter_is_read_from_the_address() {
        let filter =
            read("status=failed&op=shop.Order&since=1h&until=2026-11-28T10:00:00Z").unwrap();
        assert_eq!(filter.status, Some(Status::Failed));
        assert_eq!(filter.name.unwrap().as_str(), "shop.Order");
        assert_eq!(
            filter.launched_from.unwrap().as_millis(),
            NOW.as_millis() - 3_600_000
        );
        assert_eq!(
            filter.launched_until.unwrap().to_string(),
            "2026-11-28T10:00:00.000Z"
        );
        assert_eq!(
            read("status=&op=&since=").unwrap(),
            RunFilter::default().with_limit(PAGE)
        );
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        for (query, named) in [
            ("status=done", "status=\"done\""),
            ("since=soon", "since=\"soon\""),
            ("after=x", "after=\"x\""),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
