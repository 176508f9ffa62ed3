use std::sync::Arc;

use kser_core::Timestamp;

use super::super::broker::Spot;
use super::super::mark::Act;
use super::super::sites::Arrival;
use super::{Outage, Request, State, Verdict};
use crate::faults::{Fault, Kind};

/// The action that is left for the driver once the lock is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum FollowUp {
    Nothing,
    Crash,
    CrashAll,
    Stop,
    Join,
}

impl State {
    /// Gives a parked call its verdict, and wakes it.
    pub(in crate::sim) fn decide(&mut self, parked: u64, verdict: Verdict) {
        if let Some(parked) = self.parked.get_mut(&parked) {
            parked.verdict = Some(verdict);
            parked.waker.wake_by_ref();
        }
    }

    fn path_of(&self, parked: u64, spot: Option<&Spot>) -> (Arc<str>, Kind) {
        if let Some(published) = spot.and_then(|spot| self.broker.published(spot)) {
            return (format!("{}/receive", published.label).into(), Kind::Receive);
        }
        let parked = self.parked.get(&parked);
        match parked.map(|parked| (&parked.request, parked.life)) {
            Some((Request::Call { kind, path }, _)) => (Arc::clone(path), *kind),
            Some((_, life)) => {
                let name = &self.lives[life].name;
                (format!("{name}/leave").into(), Kind::Close)
            }
            None => ("nothing".into(), Kind::Read),
        }
    }

    /// Lets a call through, or injects the fault of its site.
    pub(in crate::sim) fn let_through(
        &mut self,
        number: u64,
        life: usize,
        spot: Option<Spot>,
        now: Timestamp,
    ) -> FollowUp {
        let (path, kind) = self.path_of(number, spot.as_ref());
        self.half = false;
        let consumer = self.lives[life].consumer.is_some();
        let arrival = Arrival {
            kind,
            life,
            consumer,
            now: self.now,
        };
        let (site, fault) = self.sites.reach(&path, arrival);
        let name = Arc::clone(&self.lives[life].name);
        if let Some(fault) = fault {
            self.goes_wrong(&name, fault, kind, &site);
        }
        if fault.is_none() && self.outage_of(kind).is_some() {
            let mark = Act::Refuse(kind).of(site.path());
            self.note(&name, mark, format!("is refused {site}"));
            self.sites.part();
            self.decide(number, Verdict::Refuse);
            return FollowUp::Nothing;
        }
        self.late = self
            .parked
            .get(&number)
            .is_some_and(|parked| parked.late && kind == Kind::Publish);
        let go = |die| match spot.clone() {
            Some(spot) => Verdict::Give { spot, die },
            None if die => Verdict::GoAndDie,
            None => Verdict::Go,
        };
        let (verdict, then) = match fault {
            None => (go(false), FollowUp::Nothing),
            Some(Fault::CrashAfter) => (go(true), FollowUp::Nothing),
            Some(Fault::CrashBefore) => return FollowUp::Crash,
            Some(Fault::CrashAll) => return FollowUp::CrashAll,
            Some(Fault::Leave) => (go(false), FollowUp::Stop),
            Some(Fault::Join) => (go(false), FollowUp::Join),
            Some(Fault::Reject) => (Verdict::Refuse, FollowUp::Nothing),
            Some(Fault::Unknown) => (Verdict::GoAndFail, FollowUp::Nothing),
            Some(Fault::Hang) => (Verdict::Hang, FollowUp::Nothing),
            Some(Fault::Panic) => (Verdict::Panic, FollowUp::Nothing),
            Some(Fault::Partial) => {
                self.half = true;
                (Verdict::GoAndFail, FollowUp::Nothing)
            }
            Some(fault) => {
                self.disturb(fault, number, life, kind, spot.as_ref(), now);
                match fault {
                    Fault::Duplicate => (go(false), FollowUp::Nothing),
                    Fault::ClockJump => return FollowUp::Crash,
                    _ => return FollowUp::Nothing,
                }
            }
        };
        self.decide(number, verdict);
        then
    }

    /// Injects a fault around a call; the call waits until its turn comes again.
    fn disturb(
        &mut self,
        fault: Fault,
        number: u64,
        life: usize,
        kind: Kind,
        spot: Option<&Spot>,
        now: Timestamp,
    ) {
        match (fault, spot) {
            (Fault::Delay, Some(spot)) => self.broker.delay(spot, now + Fault::DELAY),
            (Fault::Duplicate, Some(spot)) => self.broker.repeat(spot, now),
            (Fault::Rebalance, _) => self.broker.rebalance(),
            (Fault::ClockJump, _) => {
                if let Some(consumer) = self.lives[life].consumer {
                    *self.ahead.entry(consumer).or_default() += Fault::JUMP;
                }
            }
            (Fault::OutageFails | Fault::OutageHangs, _) => {
                self.outage = Some(Outage {
                    until: self.now + Fault::OUTAGE,
                    hangs: fault == Fault::OutageHangs,
                    store: matches!(kind, Kind::Read | Kind::Write),
                });
            }
            (Fault::Freeze, _) => {
                self.lives[life].frozen = Some(self.now + Fault::FREEZE);
                for member in self.lives[life].members.clone() {
                    self.broker.vanish(member, now);
                }
                if let Some(parked) = self.parked.get_mut(&number) {
                    parked.late = true;
                }
            }
            _ => {}
        }
    }
}
