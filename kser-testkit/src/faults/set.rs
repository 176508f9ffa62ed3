use super::{Fault, Site};
use crate::sim::Seen;

/// What goes wrong in the runs of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    kinds: Vec<Fault>,
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

    /// One fault of these kinds at every place where it can happen: one run for each.
    #[must_use]
    pub fn single(kinds: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
        }
    }

    pub(crate) fn kinds(&self) -> &[Fault] {
        &self.kinds
    }

    /// Lists single faults at the sites of a run.
    pub(crate) fn singles(&self, seen: &[Seen]) -> Vec<(Site, Fault)> {
        let sites = seen.iter().filter(|seen| seen.consumer);
        let faults = sites.flat_map(|seen| {
            let fitting = self.kinds.iter().filter(|fault| fault.fits(seen.kind));
            fitting.map(|fault| (seen.site.clone(), *fault))
        });
        faults.collect()
    }
}
