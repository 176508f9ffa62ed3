//! The time axis of a chain: each attempt as a bar, by its times. The bars are attributes of SVG, since no page has inline styles.

use std::time::Duration;

use kser::run::{Status, Timestamp};
use kser_ops::{ChainAttempt, ChainStep, RunChain, StepState};

use super::{Markup, html};

/// The narrowest bar, in thousandths of the axis.
const NARROWEST: u64 = 4;

/// The times of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    from: Timestamp,
    to: Timestamp,
    /// The end of the last attempt.
    last: Timestamp,
    /// Whether the run goes on, so that the axis ends now.
    is_open: bool,
}

impl Axis {
    /// Makes the axis of the steps that are shown.
    pub(crate) fn of(chain: &RunChain) -> Self {
        let attempts = || chain.chain.iter().flat_map(|step| &step.attempts);
        let from = attempts().map(|it| it.ready).min();
        let from = from.unwrap_or(chain.run.launched);
        let last = attempts().map(|it| it.attempt.ended).max().unwrap_or(from);
        let is_open = !chain.run.status.is_terminal()
            && chain
                .chain
                .iter()
                .any(|step| matches!(step.state, StepState::Running | StepState::Waiting));
        let to = match is_open {
            true => last.max(chain.now),
            false => last,
        };
        // An axis has a length, however short the run was.
        let to = to.max(from + Duration::from_millis(1));
        Self {
            from,
            to,
            last,
            is_open,
        }
    }

    /// Returns the time that the axis spans.
    pub(crate) fn span(&self) -> Duration {
        self.to.since(self.from)
    }

    /// Returns the place of a time, in thousandths.
    fn place(&self, at: Timestamp) -> u64 {
        let span = self.to.as_millis() - self.from.as_millis();
        let at = at
            .as_millis()
            .saturating_sub(self.from.as_millis())
            .min(span);
        // The times of clocks far from 1970 are large.
        let place = u128::from(at) * 1000 / u128::from(span);
        u64::try_from(place).unwrap_or(1000)
    }

    fn bar(&self, class: &str, from: Timestamp, to: Timestamp) -> Markup {
        let (from, to) = (self.place(from), self.place(to));
        let width = to.saturating_sub(from).max(NARROWEST);
        let from = from.min(1000 - width);
        html! { rect class=(class) x=(share(from)) width=(share(width)) {} }
    }

    /// Draws the bars of a step.
    pub(crate) fn bars(&self, step: &ChainStep) -> Markup {
        let here = matches!(step.state, StepState::Running | StepState::Waiting) && self.is_open;
        html! {
            svg.t aria-hidden="true" {
                @for attempt in &step.attempts { (self.attempt(attempt)) }
                @if here { (self.open(step)) }
            }
        }
    }

    fn attempt(&self, of: &ChainAttempt) -> Markup {
        let attempt = &of.attempt;
        if attempt.by.is_some() {
            let at = share(self.place(attempt.ended).clamp(5, 995));
            return html! { circle.by cx=(at) cy="50%" r="5" {} };
        }
        let class = match attempt.status {
            Status::Success => "ok",
            _ => "bad",
        };
        let started = attempt.started.unwrap_or(attempt.ended);
        html! {
            @if self.place(started) > self.place(of.ready) { (self.bar("w", of.ready, started)) }
            (self.bar(class, started, attempt.ended))
        }
    }

    /// Draws the time since the last attempt at the step at which the run stands.
    fn open(&self, step: &ChainStep) -> Markup {
        let class = match step.state {
            StepState::Running => "on",
            _ => "w",
        };
        self.bar(class, self.last, self.to)
    }
}

/// Writes thousandths as a percentage.
fn share(thousandths: u64) -> String {
    match thousandths % 10 {
        0 => format!("{}%", thousandths / 10),
        tenth => format!("{}.{tenth}%", thousandths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_on_the_axis() {
        let at = Timestamp::from_millis;
        let axis = Axis {
            from: at(1000),
            to: at(2000),
            last: at(2000),
            is_open: false,
        };
        let check = |millis, expected: u64| assert_eq!(axis.place(at(millis)), expected);
        check(1000, 0);
        check(1500, 500);
        check(2000, 1000);
        // Clocks may differ: nothing is drawn beyond the axis.
        check(0, 0);
        check(9999, 1000);
        let bar = axis.bar("ok", at(2000), at(2000)).into_string();
        assert_eq!(bar, r#"<rect class="ok" x="99.6%" width="0.4%"></rect>"#);
        let bar = axis.bar("bad", at(1250), at(1500)).into_string();
        assert_eq!(bar, r#"<rect class="bad" x="25%" width="25%"></rect>"#);
    }
}
