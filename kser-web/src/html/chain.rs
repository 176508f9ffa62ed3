//! A run as its chain: a line for each step, with its bar on the time axis, and the attempts of the steps that need a look.

use std::collections::BTreeSet;

use kser::run::Status;
use kser_ops::{ChainAttempt, ChainStep, RunChain, Spoken, StepState};

use super::timeline::Axis;
use super::{Markup, at, cell, count, html, text};
use crate::links::Links;

/// The most attempts of a page that have lines of their own, those nearest to the step at which the run stands.
const DETAILED: usize = 100;

/// The most attempts of a step that have lines of their own, the last ones.
const OF_STEP: usize = 10;

/// The same for a long chain.
const DETAILED_OF_MANY: usize = 40;

/// The longest text of an attempt that has a line of its own, in characters.
const ERROR: usize = 300;

/// The longest text of a step in a long chain, in characters.
const SHORT: usize = 60;

/// The steps of a long chain on both sides of the one that is looked at whose texts are shown, so that a page stays small.
const NEAR: u32 = 25;

/// The number of steps from which on a chain is long.
const LONG: usize = 40;

/// A chain on its page.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    pub(crate) links: &'a Links,
    pub(crate) chain: &'a RunChain,
    /// The step that is looked at.
    pub(crate) around: u32,
    /// The step whose payloads are shown.
    pub(crate) shown: Option<u32>,
    /// The payloads of that step.
    pub(crate) payloads: Option<Markup>,
}

impl Drawing<'_> {
    pub(crate) fn draw(&self) -> Markup {
        let axis = Axis::of(self.chain);
        let detailed = self.detailed();
        html! {
            section.chain aria-labelledby="chain" {
                h2 id="chain" { "Chain" span.span { "over " (Spoken(axis.span())) } }
                (self.earlier())
                ol.steps {
                    @for step in &self.chain.chain { (self.step(step, &axis, detailed.contains(&step.position))) }
                }
                (self.later())
                @if self.chain.has_more_attempts { p.more { "The first 1,000 attempts of these steps are shown." } }
                p.legend aria-hidden="true" { i.ok {} "ran" i.on {} "runs" i.bad {} "failed" i.w {} "waited" i.by {} "a person" }
            }
        }
    }

    /// Chooses the steps whose attempts have lines of their own.
    fn detailed(&self) -> BTreeSet<u32> {
        let most = match self.is_long() {
            true => DETAILED_OF_MANY,
            false => DETAILED,
        };
        let mut steps: Vec<_> = self
            .chain
            .chain
            .iter()
            .filter(|step| needs_a_look(step))
            .collect();
        steps.sort_by_key(|step| step.position.abs_diff(self.around));
        let mut lines = 0;
        let fit = steps.into_iter().take_while(|step| {
            lines += step.attempts.len().min(OF_STEP);
            lines <= most
        });
        fit.map(|step| step.position).chain(self.shown).collect()
    }

    fn is_long(&self) -> bool {
        self.chain.chain.len() > LONG
    }

    fn step(&self, step: &ChainStep, axis: &Axis, is_detailed: bool) -> Markup {
        let (class, shape, word) = look(step.state);
        let position = step.position;
        let longest = match self.is_long() {
            true => SHORT,
            false => super::LONGEST_CELL,
        };
        let is_near = !self.is_long() || position.abs_diff(self.around) <= NEAR;
        let last = step.attempts.last().filter(|_| is_near);
        html! {
            li id=(anchor(position)) class=(class) data-state=(word) {
                span.pos { (label(position)) }
                span.task { (text(&step.entrypoint, longest)) @if step.is_external { em { "external" } } }
                span.st { i aria-hidden="true" { (shape) } (word) @if step.attempts.len() > 1 { small { (step.attempts.len()) "×" } } }
                (axis.bars(step))
                span.took { (took(step)) }
                @if let (Some(last), false) = (last, is_detailed) { span.left { (left(last, longest)) } }
                @if is_detailed { (self.attempts(step)) }
            }
        }
    }

    fn attempts(&self, step: &ChainStep) -> Markup {
        let position = step.position;
        let skipped = step.attempts.len().saturating_sub(OF_STEP);
        let number = position.to_string();
        let is_shown = self.shown == Some(position);
        let id = &self.chain.run.id;
        html! {
            ol.tries {
                @if skipped > 0 { li.more { (skipped) " earlier attempts" } }
                @for attempt in step.attempts.iter().skip(skipped) { (line(attempt)) }
            }
            @match (&self.payloads, is_shown) {
                (Some(payloads), true) => (payloads),
                _ => a.show href={ (self.links.run_with(id, &[("show", &number), ("at", &number)])) "#" (anchor(position)) } { "params and outcome" },
            }
        }
    }

    /// Leads to the steps before those that are shown.
    fn earlier(&self) -> Markup {
        let first = self.chain.chain.first().map_or(0, |step| step.position);
        let to = first.saturating_sub(150);
        html! {
            @if first > 1 { p.more { a id="earlier" href=(self.around(to)) { "↑ " (count(u64::from(first) - 1)) " earlier steps" } } }
        }
    }

    /// Leads to the steps after those that are shown.
    fn later(&self) -> Markup {
        let last = self.chain.chain.last().map_or(0, |step| step.position);
        let rest = self.chain.run.steps.saturating_sub(last);
        html! {
            @if rest > 0 && last > 0 { p.more { a id="later" href=(self.around(last.saturating_add(149))) { "↓ " (count(rest.into())) " later steps" } } }
        }
    }

    fn around(&self, step: u32) -> String {
        self.links
            .run_with(&self.chain.run.id, &[("at", &step.to_string())])
    }
}

/// Says whether the attempts of a step are of interest: it has more than one, or it has not succeeded at once.
fn needs_a_look(step: &ChainStep) -> bool {
    let is_plain = matches!(step.state, StepState::Done | StepState::NotBegun);
    step.attempts.len() > 1
        || (!is_plain && !step.attempts.is_empty())
        || step.attempts.iter().any(|it| it.attempt.by.is_some())
}

/// Returns the class, the shape and the word of a state.
const fn look(state: StepState) -> (&'static str, &'static str, &'static str) {
    match state {
        StepState::Done => ("ok", "✓", "done"),
        StepState::Running => ("on", "▶", "runs"),
        StepState::Waiting => ("wait", "○", "waits"),
        StepState::Failed => ("bad", "✕", "failed"),
        StepState::Cancelled => ("off", "⊘", "cancelled"),
        _ => ("none", "·", "not begun"),
    }
}

fn label(position: u32) -> String {
    match position {
        0 => "build".to_owned(),
        position => position.to_string(),
    }
}

/// Returns the id of the element of a step.
fn anchor(position: u32) -> String {
    format!("s{position}")
}

/// Says how long the attempts at a step waited and ran, all of them together.
fn took(step: &ChainStep) -> String {
    let ran = step
        .attempts
        .iter()
        .filter_map(|it| Some(it.attempt.ended.since(it.attempt.started?)));
    let (ran, waited) = (
        ran.sum(),
        step.attempts.iter().filter_map(|it| it.waited).sum(),
    );
    match step.attempts.iter().any(|it| it.waited.is_some()) {
        true => format!("{} · waited {}", Spoken(ran), Spoken(waited)),
        false => String::new(),
    }
}

/// Draws the text that an attempt left, or the person who took the step on.
fn left(of: &ChainAttempt, longest: usize) -> Markup {
    match &of.attempt.by {
        Some(by) => html! {
            b.by { (cell(&by.verb)) " by " (cell(&by.actor)) }
            @if !by.reason.is_empty() { ": " (text(&by.reason, longest)) }
        },
        None => html! { (text(&of.attempt.text, longest)) },
    }
}

fn line(of: &ChainAttempt) -> Markup {
    let attempt = &of.attempt;
    let class = match (&attempt.by, attempt.status) {
        (Some(_), _) => "by",
        (None, Status::Success) => "ok",
        _ => "bad",
    };
    html! {
        li class=(class) {
            @if attempt.by.is_none() { span.try { "try " (attempt.attempt) } }
            (at(attempt.started.unwrap_or(attempt.ended)))
            @if let Some(started) = attempt.started { span.took { "ran " (Spoken(attempt.ended.since(started))) } }
            @if let Some(waited) = of.waited { span.took { "waited " (Spoken(waited)) } }
            @if !attempt.worker.is_empty() { span.on { "on " (cell(&attempt.worker)) } }
            span.left { (left(of, ERROR)) }
        }
    }
}
