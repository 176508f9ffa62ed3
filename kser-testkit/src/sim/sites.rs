use std::collections::BTreeMap;
use std::sync::Arc;

use crate::choices;
use crate::faults::{Fault, Kind, Site};

/// The sites that a run came to, and what goes wrong at them.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    counts: BTreeMap<Arc<str>, u32>,
    seen: Vec<Seen>,
    trouble: Trouble,
    fired: Vec<(Site, Fault)>,
}

/// A site that a run came to.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) site: Site,
    pub(crate) kind: Kind,
    /// It was a consumer's.
    pub(crate) consumer: bool,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Default)]
pub(crate) enum Trouble {
    #[default]
    Nothing,
    /// What was planned.
    Planned(BTreeMap<Site, Fault>),
    /// What a seed says.
    Random(Swarm),
}

/// Faults of some kinds, here and there.
#[derive(Debug, Clone)]
pub(crate) struct Swarm {
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Fault>,
    /// At one of how many sites something goes wrong.
    pub(crate) one_in: u64,
    /// How often at most.
    pub(crate) most: usize,
}

impl Sites {
    /// Says what is to go wrong.
    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        self.trouble = trouble;
    }

    /// Comes to a site, and says what goes wrong there.
    pub(crate) fn reach(
        &mut self,
        path: &Arc<str>,
        kind: Kind,
        consumer: bool,
    ) -> (Site, Option<Fault>) {
        let count = match self.counts.get_mut(path) {
            Some(count) => count,
            None => self.counts.entry(Arc::clone(path)).or_default(),
        };
        *count += 1;
        let site = Site::new(Arc::clone(path), *count);
        let fault = match &mut self.trouble {
            Trouble::Nothing => None,
            Trouble::Planned(plan) => plan.remove(&site).filter(|fault| fault.fits(kind)),
            Trouble::Random(swarm) => swarm.draw(kind, consumer),
        };
        if let Some(fault) = fault {
            self.fired.push((site.clone(), fault));
        }
        self.seen.push(Seen {
            site: site.clone(),
            kind,
            consumer,
        });
        (site, fault)
    }

    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Lists what has gone wrong.
    pub(crate) fn fired(&self) -> &[(Site, Fault)] {
        &self.fired
    }
}

impl Trouble {
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
