//! The failure of a simulation, and its text.

use std::fmt;

use crate::faults::{Fault, Site};
use crate::plan::Plan;
use crate::sim::{Finished, Trace};
use crate::violation::Violation;

/// The number of lines of the trace in the text.
const LINES: usize = 40;

/// A run that violates an invariant or an assertion of the test.
///
/// The text has the violation, the faults that it takes, the command that makes the run again, and the trace.
#[derive(Debug, Clone)]
pub struct Failure {
    broken: Violation,
    case: Plan,
    trace: Trace,
    /// How many faults it had when it was found, and how many runs it took to leave out those that do not matter.
    shrunk: Option<(usize, usize)>,
    test: Option<String>,
    saved: Option<String>,
    /// The run without faults, if it is another one.
    #[cfg(feature = "html")]
    good: Option<Trace>,
    /// The line about the page of the run.
    #[cfg(feature = "html")]
    page: Option<String>,
}

impl Failure {
    pub(crate) fn new<S>(broken: Violation, finished: &Finished<S>) -> Self {
        Self {
            broken,
            case: finished.case(),
            trace: finished.shared.with(|state| state.trace.clone()),
            shrunk: None,
            test: crate::environment::test_name(),
            saved: None,
            #[cfg(feature = "html")]
            good: None,
            #[cfg(feature = "html")]
            page: None,
        }
    }

    /// Sets the plan of the run, where the run did not go as it was planned.
    pub(crate) fn planned(mut self, case: Plan) -> Self {
        self.case = case;
        self
    }

    pub(crate) fn shrunk(mut self, from: &Plan, runs: usize) -> Self {
        self.shrunk = Some((from.faults.len(), runs));
        self
    }

    pub(crate) fn saved_in(mut self, file: Option<String>) -> Self {
        self.saved = file;
        self
    }

    /// Sets the run without faults, which is shown beside the failing run.
    #[cfg(feature = "html")]
    pub(crate) fn beside(mut self, good: Option<Trace>) -> Self {
        self.good = good.filter(|good| good.hash() != self.trace.hash());
        self
    }

    /// Writes the page of the run into the folder `kser` of cargo's target folder.
    #[cfg(feature = "html")]
    pub(crate) fn written(mut self) -> Self {
        self.page = Some(crate::page::write(&self.page()));
        self
    }

    /// Returns the run as a page: an HTML document that needs no other file and has no script, with the run without faults beside it.
    /// [`Sim::check`](crate::Sim::check) writes it into `target/kser/`. It has at most some 1,600 rows: of a longer run the beginning,
    /// the first faults and the end.
    #[cfg(feature = "html")]
    #[must_use]
    pub fn page(&self) -> String {
        crate::page::Page {
            test: self.test.as_deref(),
            broken: &self.heading(),
            what: &self.broken.what,
            faults: &self.case.faults,
            order: &self.order(),
            again: &self.again(),
            failing: &self.trace,
            good: self.good.as_ref(),
        }
        .render()
    }

    /// Returns the name of the violated invariant, such as `EffectOnce`; `Check` for an assertion of the test.
    #[must_use]
    pub const fn invariant(&self) -> &'static str {
        self.broken.invariant
    }

    /// Returns the description of the violation.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.broken.what
    }

    /// Returns the faults that the violation takes, each with its site.
    #[must_use]
    pub fn plan(&self) -> &[(Site, Fault)] {
        &self.case.faults
    }

    /// Returns the run as a text, for [`Sim::replay`](crate::Sim::replay).
    #[must_use]
    pub fn replay(&self) -> String {
        self.case.to_string()
    }

    /// Returns the trace of the run.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Describes the faults of the run, and its order of events.
    fn course(&self) -> String {
        let faults = self.case.faults.iter();
        let faults: Vec<String> = faults
            .map(|(site, fault)| format!("{fault} {site}"))
            .collect();
        let order = self.order();
        let faults = match faults.is_empty() {
            true => "none".to_owned(),
            false => faults.join("; "),
        };
        match self.shrunk {
            Some((from, runs)) if from > self.case.faults.len() => {
                format!("{faults}, {order} (of {from} faults, left out in {runs} runs)")
            }
            _ => format!("{faults}, {order}"),
        }
    }

    /// Says what kind of failure it is.
    fn heading(&self) -> String {
        match self.broken.invariant {
            "Check" => "the check fails".to_owned(),
            invariant => format!("invariant {invariant} violated"),
        }
    }

    /// Describes the order of events.
    fn order(&self) -> String {
        match self.case.picks.iter().filter(|pick| **pick > 0).count() {
            0 => "in the usual order".to_owned(),
            1 => "in an order that departs once from the usual one".to_owned(),
            count => format!("in an order that departs {count} times from the usual one"),
        }
    }

    /// Returns the command, or the call, that makes the run again.
    fn again(&self) -> String {
        let case = &self.case;
        match &self.test {
            Some(test) => format!("KSER_TESTKIT_REPLAY='{case}' cargo test {test} -- --exact"),
            None => format!(".replay({:?})", case.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.heading(), self.broken.what)?;
        writeln!(f, "faults: {}", self.course())?;
        writeln!(f, "to make it again: {}", self.again())?;
        if let Some(saved) = &self.saved {
            writeln!(
                f,
                "kept in {saved}, and made first the next time: commit it"
            )?;
        }
        #[cfg(feature = "html")]
        if let Some(page) = &self.page {
            writeln!(f, "{page}")?;
        }
        let all = self.trace.len();
        let lines = match std::env::var("KSER_TESTKIT_TRACE").as_deref() {
            Ok("full") => all,
            _ => LINES.min(all),
        };
        let (hash, more) = match lines < all {
            true => (self.trace.hash(), "; KSER_TESTKIT_TRACE=full for all"),
            false => (self.trace.hash(), ""),
        };
        writeln!(
            f,
            "what happened, the last {lines} of {all} events (hash {hash:016x}{more}):"
        )?;
        self.trace
            .last(lines)
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}
