use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::choices;
use crate::faults::{Fault, Kind, Site};

/// The sites that a run came to, and the faults at them.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    counts: BTreeMap<Arc<str>, u32>,
    seen: Vec<ReachedSite>,
    trouble: FaultPlan,
    fired: Vec<(Site, Fault)>,
    /// The call before this one, if nothing else has happened since.
    previous: Option<Arrival>,
}

/// A call that comes to a site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) kind: Kind,
    /// The life of a process that makes it.
    pub(crate) life: usize,
    /// The call is made by a consumer, not by a client.
    pub(crate) consumer: bool,
    pub(crate) now: Duration,
}

/// A site that a run came to.
#[derive(Debug, Clone)]
pub(crate) struct ReachedSite {
    pub(crate) site: Site,
    pub(crate) kind: Kind,
    /// The call was made by a consumer, not by a client.
    pub(crate) consumer: bool,
    /// A crash before it is the same as one right after the call before it.
    pub(crate) same: bool,
}

/// The plan of the faults of a run.
#[derive(Debug, Clone, Default)]
pub(crate) enum FaultPlan {
    #[default]
    Nothing,
    /// The given faults, each at its site.
    Planned(BTreeMap<Site, Fault>),
    /// Faults that are drawn from a seed.
    Random(Swarm),
}

/// Faults of some kinds, here and there.
#[derive(Debug, Clone)]
pub(crate) struct Swarm {
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Fault>,
    /// The number of sites of which one, on average, has a fault.
    pub(crate) one_in: u64,
    /// The largest number of faults.
    pub(crate) most: usize,
}

impl Sites {
    /// Sets the plan of the faults.
    pub(crate) fn trouble(&mut self, trouble: FaultPlan) {
        self.trouble = trouble;
    }

    /// Notes that a call comes to a site. Returns the site, and its fault, if there is one.
    pub(crate) fn reach(&mut self, path: &Arc<str>, arrival: Arrival) -> (Site, Option<Fault>) {
        let Arrival { kind, consumer, .. } = arrival;
        let count = match self.counts.get_mut(path) {
            Some(count) => count,
            None => self.counts.entry(Arc::clone(path)).or_default(),
        };
        *count += 1;
        let site = Site::new(Arc::clone(path), *count);
        let fault = match &mut self.trouble {
            FaultPlan::Nothing => None,
            FaultPlan::Planned(plan) => plan.remove(&site).filter(|fault| fault.fits(kind)),
            FaultPlan::Random(swarm) => swarm.draw(kind, consumer),
        };
        if let Some(fault) = fault {
            self.fired.push((site.clone(), fault));
        }
        let previous = self.previous.take();
        self.seen.push(ReachedSite {
            site: site.clone(),
            kind,
            consumer,
            same: previous.is_some_and(|previous| previous.leads_to(&arrival, path)),
        });
        self.previous = Some(arrival).filter(|_| fault.is_none());
        (site, fault)
    }

    /// Notes that something happens between two calls.
    pub(crate) fn part(&mut self) {
        self.previous = None;
    }

    /// Returns the sites that were seen since the last time.
    pub(crate) fn take_seen(&mut self) -> Vec<ReachedSite> {
        std::mem::take(&mut self.seen)
    }

    /// Lists the faults that were injected.
    pub(crate) fn fired(&self) -> &[(Site, Fault)] {
        &self.fired
    }
}

impl Arrival {
    /// Says whether a process does nothing that matters between this call and the next: no time passes, and no code of a user
    /// may run there. A handler that runs there separates the two calls, and so does the builder of an operation.
    fn leads_to(&self, next: &Self, path: &str) -> bool {
        use Kind::{Commit, Publish, Read, Receive, Settle, Subscribe, Write};
        let bare = match self.kind {
            Receive | Read => matches!(next.kind, Read | Write) && !path.ends_with("/end"),
            Write => matches!(next.kind, Publish | Commit | Receive | Read | Subscribe),
            Publish => matches!(next.kind, Commit),
            Commit | Settle | Subscribe => matches!(next.kind, Receive | Read | Subscribe),
            _ => false,
        };
        bare && self.life == next.life && self.now == next.now
    }
}

impl FaultPlan {
    pub(crate) fn planned(plan: &[(Site, Fault)]) -> Self {
        match plan.is_empty() {
            true => Self::Nothing,
            false => Self::Planned(plan.iter().cloned().collect()),
        }
    }
}

impl Swarm {
    fn draw(&mut self, kind: Kind, consumer: bool) -> Option<Fault> {
        if !consumer || self.most == 0 || !choices::next(&mut self.seed).is_multiple_of(self.one_in)
        {
            return None;
        }
        let fitting: Vec<Fault> = self
            .kinds
            .iter()
            .filter(|fault| fault.fits(kind))
            .copied()
            .collect();
        let count = u64::try_from(fitting.len())
            .ok()
            .filter(|count| *count > 0)?;
        let drawn = usize::try_from(choices::next(&mut self.seed) % count).ok()?;
        self.most -= 1;
        fitting.get(drawn).copied()
    }
}
