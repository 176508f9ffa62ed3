use super::{Fault, Site};
use crate::sim::Seen;

/// What goes wrong in the runs of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    kinds: Vec<Fault>,
    pairs: bool,
}

impl Faults {
    /// Nothing goes wrong: one run.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One crash of a consumer, before or after every call and at every wait of a handler: one run for each.
    #[must_use]
    pub fn any_single_crash() -> Self {
        Self::single([Fault::CrashBefore, Fault::CrashAfter])
    }

    /// One fault of any kind, wherever it can happen: one run for each.
    #[must_use]
    pub fn any_single() -> Self {
        Self::single(Fault::all())
    }

    /// One fault of these kinds, wherever it can happen: one run for each.
    #[must_use]
    pub fn single(kinds: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
            pairs: false,
        }
    }

    /// One fault of these kinds, and two, the second wherever the run comes to after the first: one run for each.
    #[must_use]
    pub fn pairs(kinds: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            pairs: true,
            ..Self::single(kinds)
        }
    }

    /// As [`any_single_crash`](Self::any_single_crash), and two crashes, the second wherever the run comes to after the
    /// first.
    #[must_use]
    pub fn any_two_crashes() -> Self {
        Self::pairs([Fault::CrashBefore, Fault::CrashAfter])
    }

    pub(crate) fn kinds(&self) -> &[Fault] {
        &self.kinds
    }

    pub(crate) const fn are_pairs(&self) -> bool {
        self.pairs
    }

    /// Lists single faults at the sites of a run, those after `first` if it is given.
    pub(crate) fn at(&self, seen: &[Seen], first: Option<&Site>) -> Vec<(Site, Fault)> {
        let from = first.and_then(|first| seen.iter().position(|seen| seen.site == *first));
        let after = seen.iter().skip(from.map_or(0, |from| from + 1));
        let faults = after.filter(|seen| seen.consumer).flat_map(|seen| {
            let fitting = self.kinds.iter().filter(|fault| fault.fits(seen.kind));
            fitting.map(|fault| (seen.site.clone(), *fault))
        });
        faults.collect()
    }
}
