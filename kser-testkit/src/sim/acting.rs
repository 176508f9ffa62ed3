use std::sync::Arc;

use kser_core::Timestamp;
use tokio::time::Instant;

use super::actions::Action;
use super::broker::Spot;
use super::driver::Driver;
use super::sites::Arrival;
use super::state::{Outage, State, Verdict};
use crate::faults::{Fault, Kind};

/// The action that is left for the driver once the lock is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Crash,
    CrashAll,
    Stop,
    Join,
}

/// At most so many consumers take part.
const MOST_CONSUMERS: usize = 6;

impl Driver {
    /// Carries out the chosen action, with the fault of its site, if there is one.
    pub(super) fn act(&mut self, action: Action) {
        if !matches!(action, Action::Let { .. } | Action::Give { .. }) {
            self.place.shared.with(|state| state.sites.part());
        }
        let (number, life, spot) = match action {
            Action::Start(number) => return self.start(number),
            Action::Ask(number) => return self.ask(number),
            Action::Look { parked, life } => {
                self.last = life;
                let shared = &self.place.shared;
                return shared.with(|state| state.decide(parked, Verdict::Look));
            }
            Action::Let { parked, life } => (parked, life, None),
            Action::Give { parked, life, spot } => (parked, life, Some(spot)),
        };
        self.last = life;
        let then = self
            .place
            .shared
            .change(|state, now| state.go(number, life, spot, now));
        match then {
            Then::Nothing => {}
            Then::Crash => self.crash(life),
            Then::CrashAll => self.crash_all(),
            Then::Stop => self.stop(life),
            Then::Join => self.join(),
        }
    }

    fn crash_all(&mut self) {
        let lives: Vec<usize> = self
            .processes
            .iter()
            .map(|process| process.port.life)
            .collect();
        for life in lives {
            if !self
                .place
                .shared
                .with(|state| state.lives[life].consumer.is_none())
            {
                self.crash(life);
            }
        }
    }

    fn stop(&self, life: usize) {
        let process = self
            .processes
            .iter()
            .find(|process| process.port.life == life);
        if let Some(process) = process {
            process.request_stop();
        }
    }

    fn join(&mut self) {
        if let Some(spec) = self
            .consumers
            .first()
            .filter(|_| self.consumers.len() < MOST_CONSUMERS)
        {
            self.consumers.push(spec.clone());
            self.lives.push((0, Some(Instant::now())));
        }
    }
}

impl State {
    /// Lets a call through, or injects the fault of its site.
    fn go(&mut self, number: u64, life: usize, spot: Option<Spot>, now: Timestamp) -> Then {
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
            self.goes_wrong(&name, fault, &site);
        }
        if fault.is_none() && self.outage_of(kind).is_some() {
            self.note(&name, format!("is refused {site}"));
            self.sites.part();
            self.decide(number, Verdict::Refuse);
            return Then::Nothing;
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
            None => (go(false), Then::Nothing),
            Some(Fault::CrashAfter) => (go(true), Then::Nothing),
            Some(Fault::CrashBefore) => return Then::Crash,
            Some(Fault::CrashAll) => return Then::CrashAll,
            Some(Fault::Leave) => (go(false), Then::Stop),
            Some(Fault::Join) => (go(false), Then::Join),
            Some(Fault::Reject) => (Verdict::Refuse, Then::Nothing),
            Some(Fault::Unknown) => (Verdict::GoAndFail, Then::Nothing),
            Some(Fault::Hang) => (Verdict::Hang, Then::Nothing),
            Some(Fault::Panic) => (Verdict::Panic, Then::Nothing),
            Some(Fault::Partial) => {
                self.half = true;
                (Verdict::GoAndFail, Then::Nothing)
            }
            Some(fault) => {
                self.disturb(fault, number, life, kind, spot.as_ref(), now);
                match fault {
                    Fault::Duplicate => (go(false), Then::Nothing),
                    Fault::ClockJump => return Then::Crash,
                    _ => return Then::Nothing,
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
            (Fault::Duplicate, Some(spot)) => {
                self.broker.repeat(spot, now);
                self.facts.duplicated += 1;
            }
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
