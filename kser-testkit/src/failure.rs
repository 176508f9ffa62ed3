//! What a failed simulation says.

use std::fmt;

use crate::case::Case;
use crate::faults::{Fault, Site};
use crate::invariants::Broken;
use crate::sim::{Finished, Trace};

/// How many lines of the trace are shown.
const LINES: usize = 40;

/// A run in which something does not hold.
#[derive(Debug, Clone)]
pub struct Failure {
    broken: Broken,
    case: Case,
    trace: Trace,
}

impl Failure {
    pub(crate) fn new<S>(broken: Broken, finished: &Finished<S>) -> Self {
        Self {
            broken,
            case: finished.case(),
            trace: finished.shared.with(|state| state.trace.clone()),
        }
    }

    /// Returns the name of the invariant that is broken, such as `EffectOnce`; `Check` for what the test asserts.
    #[must_use]
    pub const fn invariant(&self) -> &'static str {
        self.broken.invariant
    }

    /// Says what does not hold.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.broken.what
    }

    /// Returns what had to go wrong for it.
    #[must_use]
    pub fn plan(&self) -> &[(Site, Fault)] {
        &self.case.plan
    }

    /// Returns the run as a text, for [`Sim::replay`](crate::Sim::replay).
    #[must_use]
    pub fn replay(&self) -> String {
        self.case.to_string()
    }

    /// Returns what happened in the run.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { invariant, what } = &self.broken;
        match *invariant {
            "Check" => writeln!(f, "the check fails: {what}")?,
            _ => writeln!(f, "invariant {invariant} violated: {what}")?,
        }
        let faults = self.case.plan.iter();
        let faults: Vec<String> = faults
            .map(|(site, fault)| format!("{fault} {site}"))
            .collect();
        match faults.is_empty() {
            true => writeln!(f, "what went wrong: nothing")?,
            false => writeln!(f, "what went wrong: {}", faults.join("; "))?,
        }
        writeln!(
            f,
            "to make this run again: .replay({:?})",
            self.case.to_string()
        )?;
        let (shown, all) = (self.trace.len().min(LINES), self.trace.len());
        writeln!(f, "trace, the last {shown} of {all} events:")?;
        self.trace
            .last(LINES)
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}
