use std::collections::BTreeMap;

use kser_core::{Outcome, RunId, Status};

use crate::faults::{Fault, Kind, Site};
use crate::sim::{Finished, Trace};
use crate::violation::Violation;

type Ends = BTreeMap<RunId, (Option<Status>, Outcome)>;

/// The run without faults in the usual order: its trace, and the ends of its runs of operations.
#[derive(Debug)]
pub(super) struct Usual {
    trace: Trace,
    ends: Ends,
}

impl Usual {
    pub(super) fn of<S>(clean: &Finished<S>) -> Self {
        Self {
            trace: trace(clean),
            ends: ends(clean),
        }
    }

    /// Says where a run in the usual order differs from this one before its first fault.
    pub(super) fn begins_otherwise<S>(&self, finished: &Finished<S>) -> Option<Violation> {
        if !finished.tape.picks().is_empty() {
            return None;
        }
        let first = finished.fired.first();
        let first = first.map(|(site, fault)| format!("{fault} {site}"));
        let differs = finished.shared.with(|state| match first {
            None => self.trace.difference(&state.trace, None),
            Some(first) => {
                let at = state.trace.find(&first)?;
                self.trace.difference(&state.trace, Some(at))
            }
        })?;
        let what =
            "the run, before anything went wrong in it, differs from the one in which nothing does";
        Some(by_chance(what, differs))
    }

    /// Says which run of an operation ends otherwise than usual. A duplicate message, a call with an unknown outcome, and another
    /// order of events must not change the ends.
    pub(super) fn ends_otherwise<S>(&self, finished: &Finished<S>) -> Option<Violation> {
        let invariant = unchanging(finished)?;
        let ended = ends(finished);
        let (id, now) = ended.iter().find(|(id, end)| {
            let usual = self.ends.get(*id);
            match invariant {
                // An attempt may have gone by, which a handler may tell.
                "UnknownIsUnknown" => usual.map(|end| end.0) != Some(end.0),
                _ => usual != Some(*end),
            }
        })?;
        let usual = self.ends.get(id);
        let what = format!("{id} ends as {now:?}, and usually as {usual:?}");
        Some(Violation::new(invariant, what))
    }
}

/// Says where a run that was made twice differs.
pub(super) fn differs_from<S>(first: &Finished<S>, second: &Finished<S>) -> Option<Violation> {
    let differs = trace(first).difference(&trace(second), None)?;
    Some(by_chance("the same run, made twice, differs", differs))
}

fn by_chance(what: &str, (at, first, second): (usize, String, String)) -> Violation {
    let what = format!(
        "{what}, from event {at} on: first {first:?}, then {second:?}. Something decides by chance: real time, random \
         numbers, or the order of a HashMap"
    );
    Violation::new("Deterministic", what)
}

fn trace<S>(finished: &Finished<S>) -> Trace {
    finished.shared.with(|state| state.trace.clone())
}

/// How the runs of operations ended.
fn ends<S>(finished: &Finished<S>) -> Ends {
    finished.shared.with(|state| {
        let runs = state.facts.runs.iter().filter(|(_, run)| run.launched);
        let told = runs.map(|(id, run)| (id.clone(), (run.status, run.outcome.clone())));
        told.collect()
    })
}

/// Returns the invariant that says that the faults of this run change no end. `None` for faults that may change one.
fn unchanging<S>(finished: &Finished<S>) -> Option<&'static str> {
    let calls = |site: &Site| {
        let mut seen = finished.seen.iter();
        seen.any(|seen| seen.site == *site && !matches!(seen.kind, Kind::Effect))
    };
    match &*finished.fired {
        [] => Some("OrderIsNoop"),
        // Whether it had its effect or not. More of them may use up the attempts.
        [(site, Fault::Reject | Fault::Unknown)] if calls(site) => Some("UnknownIsUnknown"),
        fired if fired.iter().all(|(_, fault)| *fault == Fault::Duplicate) => {
            Some("DuplicateIsNoop")
        }
        _ => None,
    }
}
