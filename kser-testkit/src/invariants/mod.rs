//! The invariants of every run, which hold without an assertion of the test.

mod attempts;
mod commits;
mod conservation;
mod copies;
mod effects;
mod ends;
mod healthy;
mod limits;
mod records;
mod rows;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use self::attempts::{observe_end, observe_start};
pub(crate) use self::commits::check_commit;
pub(crate) use self::conservation::check_conservation;
pub(crate) use self::copies::count_record;
pub(crate) use self::ends::find_lost;
pub(crate) use self::healthy::check_waiting;
pub(crate) use self::limits::{check_held, check_running};
pub(crate) use self::records::{
    check_dead_letter, check_durable, check_output, check_relayed, observe_event, observe_message,
};
pub(crate) use self::rows::observe_write;
use crate::faults::{Fault, Site};
use crate::sim::{End, Finished, Run, panic_text};
use crate::violation::Violation;

/// Judges a run: the violations that were seen during it, its end, and then the assertions of the test.
pub(crate) fn judge<S>(
    finished: &Finished<S>,
    plan: &[(Site, Fault)],
    check: &dyn Fn(&Run<'_, S>),
) -> Option<Violation> {
    let seen = finished.observe(|facts, _| facts.broken.first().cloned());
    seen.or_else(|| effects::judge(finished))
        .or_else(|| ends::judge(finished))
        .or_else(|| not_vacuous(finished, plan))
        .or_else(|| checked(finished, check))
}

/// Judges the records, the announced ends and the failed lone tasks of a run in which all other invariants hold.
pub(crate) fn judge_the_rest<S>(finished: &Finished<S>) -> Option<Violation> {
    if finished.end != End::Done {
        return None;
    }
    copies::judge(finished)
        .or_else(|| ends::unannounced(finished))
        .or_else(|| ends::unasked(finished))
}

/// Checks that every planned fault has happened.
fn not_vacuous<S>(finished: &Finished<S>, plan: &[(Site, Fault)]) -> Option<Violation> {
    let missed = plan
        .iter()
        .find(|planned| !finished.fired.contains(planned));
    missed.map(|(site, fault)| {
        let what = format!(
            "\"{fault} {site}\" was planned, and the run did not come there: has the workflow changed since this was written \
             down, or does it decide by chance?"
        );
        Violation::new("NotVacuous", what)
    })
}

fn checked<S>(finished: &Finished<S>, check: &dyn Fn(&Run<'_, S>)) -> Option<Violation> {
    let run = Run {
        state: &finished.state,
        shared: &finished.shared,
        elapsed: finished.elapsed,
    };
    let checked = catch_unwind(AssertUnwindSafe(|| check(&run)));
    let panic = checked.err()?;
    let text = panic_text(&*panic);
    let mut named = ["EffectDone", "EffectOnce"].into_iter();
    let named = named.find_map(|name| Some((name, text.strip_prefix(name)?.strip_prefix(": ")?)));
    Some(match named {
        Some((name, what)) => Violation::new(name, what),
        None => Violation::new("Check", text),
    })
}
