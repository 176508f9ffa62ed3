use kser_core::Timestamp;

use super::super::broker::Spot;
use super::super::mark::Act;
use super::{Outage, Parked, Request, State};
use crate::faults::Kind;

/// A possible next action of the driver.
#[derive(Debug, Clone)]
pub(in crate::sim) enum Action {
    Let {
        parked: u64,
        life: usize,
    },
    Give {
        parked: u64,
        life: usize,
        spot: Spot,
    },
    Look {
        parked: u64,
        life: usize,
    },
    Start(usize),
    Ask(usize),
}

impl Action {
    pub(in crate::sim) const fn life(&self) -> usize {
        match self {
            Self::Let { life, .. } | Self::Give { life, .. } | Self::Look { life, .. } => *life,
            Self::Start(_) | Self::Ask(_) => usize::MAX,
        }
    }
}

impl State {
    /// Lists the possible actions for the calls that wait.
    pub(in crate::sim) fn actions(&mut self, now: Timestamp) -> Vec<Action> {
        self.broker.expire(now);
        self.end_outage_and_freezes();
        let mut actions = Vec::new();
        let mut settling: Vec<usize> = Vec::new();
        for (number, parked) in &self.parked {
            self.add_actions(*number, parked, now, &mut settling, &mut actions);
        }
        actions
    }

    /// Lists the possible actions for a parked call.
    fn add_actions(
        &self,
        number: u64,
        parked: &Parked,
        now: Timestamp,
        settling: &mut Vec<usize>,
        actions: &mut Vec<Action>,
    ) {
        let life = parked.life;
        let frozen = self
            .lives
            .get(life)
            .is_none_or(|life| life.frozen.is_some());
        if parked.verdict.is_some() || frozen {
            return;
        }
        let parked_as = number;
        let go = Action::Let {
            parked: parked_as,
            life,
        };
        match &parked.request {
            Request::Call { kind, .. } => {
                if self.outage_of(*kind).is_some_and(|outage| outage.hangs) {
                    return;
                }
                // Outputs are published in the order in which their settles were begun.
                let settles = matches!(kind, Kind::Publish | Kind::Settle);
                if settles && settling.contains(&life) {
                    return;
                }
                if settles {
                    settling.push(life);
                }
                actions.push(go);
            }
            Request::Receive(member) => match self.broker.member(*member) {
                Some(known) if !known.superseded => {
                    if self.outage_of(Kind::Receive).is_none() {
                        let spots = self.broker.offers(*member, now);
                        let gives = spots.map(|spot| Action::Give {
                            parked: parked_as,
                            life,
                            spot,
                        });
                        actions.extend(gives);
                    }
                }
                _ => actions.push(Action::Look {
                    parked: parked_as,
                    life,
                }),
            },
            Request::Leave(member) if !self.broker.holds(*member) => actions.push(go),
            Request::Leave(_) => {}
        }
    }

    /// Says whether the driver may have an action for a call that begins to wait. It has none for a receive while there is no
    /// record to deliver: a consumer calls receive afresh each time it wakes.
    pub(in crate::sim) fn wakes_driver(&self, request: &Request, now: Timestamp) -> bool {
        match request {
            Request::Receive(member) => match self.broker.member(*member) {
                Some(known) if !known.superseded => self.broker.has_offer(*member, now),
                _ => true,
            },
            _ => true,
        }
    }

    /// The outage that a call of a kind runs into.
    pub(in crate::sim) fn outage_of(&self, kind: Kind) -> Option<Outage> {
        let store = match kind {
            Kind::Read | Kind::Write => true,
            Kind::Effect | Kind::Await => return None,
            _ => false,
        };
        self.outage.filter(|outage| outage.store == store)
    }

    /// Ends the outage and the freezes whose time is over.
    fn end_outage_and_freezes(&mut self) {
        let now = self.now;
        if self.outage.is_some_and(|outage| outage.until <= now) {
            self.outage = None;
            self.note("world", Act::Recover, "the outage ends");
        }
        for number in 0..self.lives.len() {
            let life = &mut self.lives[number];
            if life.frozen.is_some_and(|until| until <= now) {
                life.frozen = None;
                let (name, members) = (life.name.clone(), life.members.clone());
                for member in members {
                    self.broker.is_back(member);
                }
                self.note(&name, Act::Thaw, "goes on");
            }
        }
    }

    /// Returns when the next outage or freeze ends.
    pub(in crate::sim) fn next_end(&self) -> Option<std::time::Duration> {
        let thaws = self.lives.iter().filter_map(|life| life.frozen);
        let outage = self.outage.map(|outage| outage.until);
        thaws.chain(outage).min()
    }
}
