use crate::invariants::Broken;
use crate::sim::{Finished, Trace};

/// Says where a run that was made twice differs.
pub(super) fn twice<S>(first: &Finished<S>, second: &Finished<S>) -> Option<Broken> {
    let first = first.shared.with(|state| state.trace.clone());
    let second = second.shared.with(|state| state.trace.clone());
    let differs = first.difference(&second, None)?;
    Some(by_chance("the same run, made twice, differs", differs))
}

/// Says where a run in the usual order differs from the usual run before anything went wrong in it.
pub(super) fn beginning<S>(usual: &Trace, finished: &Finished<S>) -> Option<Broken> {
    if !finished.tape.picks().is_empty() {
        return None;
    }
    let first = finished.fired.first();
    let first = first.map(|(site, fault)| format!("{fault} {site}"));
    let differs = finished.shared.with(|state| match first {
        None => usual.difference(&state.trace, None),
        Some(first) => {
            let at = state.trace.find(&first)?;
            usual.difference(&state.trace, Some(at))
        }
    })?;
    let what =
        "the run, before anything went wrong in it, differs from the one in which nothing does";
    Some(by_chance(what, differs))
}

fn by_chance(what: &str, (at, first, second): (usize, String, String)) -> Broken {
    let what = format!(
        "{what}, from event {at} on: first {first:?}, then {second:?}. Something decides by chance: real time, random \
         numbers, or the order of a HashMap"
    );
    Broken::new("Deterministic", what)
}
