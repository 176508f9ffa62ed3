use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{Clock, Outcome, Record, RunId, Status, Timestamp};
use tokio::sync::Notify;

use super::Setup;
use super::broker::{Broker, MemberId, Spot};
use super::clock::SimClock;
use super::facts::Facts;
use super::idle::Idle;
use super::labels::Labels;
use super::sites::Sites;
use super::trace::Trace;
use crate::faults::{Fault, Kind, Site};
use crate::heartbeat::Heartbeat;

/// All that the processes of a simulated run share: the broker, and what was seen of the run.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    idle: Idle,
    clock: SimClock,
    /// Someone lets calls through one by one. Without a driver they go through at once.
    driven: bool,
    changed: Notify,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) broker: Broker,
    pub(crate) labels: Labels,
    pub(crate) trace: Trace,
    pub(crate) facts: Facts,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) sites: Sites,
    pub(crate) parked: BTreeMap<u64, Parked>,
    pub(crate) parkings: u64,
    pub(crate) lives: Vec<Life>,
    /// Those who are to die as soon as nothing else can run.
    pub(crate) dying: Vec<usize>,
    /// Outputs that the store keeps and that are not relayed.
    pub(crate) outputs: BTreeMap<OutputId, Record>,
    /// How far the clocks of the consumers' machines are ahead.
    pub(crate) ahead: BTreeMap<usize, Duration>,
    pub(crate) outage: Option<Outage>,
    /// The next publication stops half way.
    pub(crate) half: bool,
    /// The next publication was on its way before its process stood still: nobody asks whose it is.
    pub(crate) late: bool,
    pub(crate) now: Duration,
}

/// One life of a process.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) name: Arc<str>,
    /// Which consumer it is a life of; `None` for a client.
    pub(crate) consumer: Option<usize>,
    pub(crate) alive: bool,
    pub(crate) members: Vec<MemberId>,
    /// It stands still until then.
    pub(crate) frozen: Option<Duration>,
    /// How far its clock is ahead of the others.
    pub(crate) ahead: Duration,
    /// How many handlers it may run at once, and how many records it may hold; `None` for a client.
    pub(crate) limits: Option<Limits>,
    /// How many handlers run.
    pub(crate) running: usize,
}

/// How much a consumer takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) running: usize,
    pub(crate) held: usize,
}

/// An outage that goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) until: Duration,
    /// Calls get no answer, instead of a refusal.
    pub(crate) hangs: bool,
    /// It is the store that is out, instead of the broker.
    pub(crate) store: bool,
}

/// A call that waits to be let through.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) life: usize,
    pub(crate) want: Want,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) waker: Waker,
    /// It was on its way when its process stood still.
    pub(crate) late: bool,
}

/// What a parked call wants.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    Call {
        kind: Kind,
        path: Arc<str>,
    },
    Receive(MemberId),
    /// To leave, once nothing is held.
    Leave(MemberId),
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    /// It has its effect, and its process dies.
    GoAndDie,
    /// It has its effect, and fails.
    GoAndFail,
    /// It has no effect, and fails.
    Refuse,
    /// It takes a while.
    Hang,
    Panic,
    Give {
        spot: Spot,
        die: bool,
    },
    /// Something is to be looked at again.
    Look,
}

impl Shared {
    pub(crate) fn new(setup: Setup, idle: Idle, driven: bool) -> Self {
        let state = State {
            broker: Broker::new(setup),
            labels: Labels::default(),
            trace: Trace::default(),
            facts: Facts::default(),
            heartbeat: Heartbeat::default(),
            sites: Sites::default(),
            parked: BTreeMap::new(),
            parkings: 0,
            lives: Vec::new(),
            dying: Vec::new(),
            outputs: BTreeMap::new(),
            ahead: BTreeMap::new(),
            outage: None,
            half: false,
            late: false,
            now: Duration::ZERO,
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            idle,
            clock: SimClock::new(),
            driven,
            changed: Notify::new(),
        }))
    }

    /// Does something to what is shared.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock())
    }

    /// Does something that is noted with its time.
    pub(crate) fn timed<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let now = self.0.clock.elapsed();
        let mut state = self.lock();
        state.now = now;
        f(&mut state)
    }

    /// Does something to the broker, which others may wait for.
    pub(crate) fn change<T>(&self, f: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.0.clock.now();
        let done = self.timed(|state| {
            state.broker.expire(now);
            f(state, now)
        });
        self.0.idle.touch();
        self.0.changed.notify_waiters();
        done
    }

    pub(crate) fn clock(&self) -> &SimClock {
        &self.0.clock
    }

    pub(crate) fn idle(&self) -> &Idle {
        &self.0.idle
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.0.driven
    }

    /// Without a driver: is told of changes of the broker from now on.
    pub(crate) fn changes(&self) -> &Notify {
        &self.0.changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes a line of the trace.
    pub(crate) fn note(&mut self, who: &str, what: impl Into<String>) {
        self.trace.note(self.now, who, what.into());
    }

    /// Something goes wrong.
    pub(crate) fn goes_wrong(&mut self, who: &str, fault: Fault, site: &Site) {
        self.note(who, format!("{fault} {site}"));
        self.heartbeat.went_wrong(site, fault);
    }

    /// Begins a life.
    pub(crate) fn begin_life(&mut self, name: &str, consumer: Option<usize>) -> usize {
        let ahead = consumer.and_then(|consumer| self.ahead.get(&consumer).copied());
        self.lives.push(Life {
            name: name.into(),
            consumer,
            alive: true,
            members: Vec::new(),
            frozen: None,
            ahead: ahead.unwrap_or_default(),
            limits: None,
            running: 0,
        });
        self.lives.len() - 1
    }

    pub(crate) fn is_alive(&self, life: usize) -> bool {
        self.lives.get(life).is_some_and(|life| life.alive)
    }

    pub(crate) fn guarantee(&self) -> super::Guarantee {
        self.broker.setup.guarantee
    }

    /// Says whether steps are accepted once in this run: not where the row promises less, nor, without a store, where a
    /// record was published twice.
    pub(crate) fn is_exact(&self) -> bool {
        match self.guarantee() {
            super::Guarantee::Stored => true,
            super::Guarantee::ExactlyOnce => self.facts.duplicated == 0,
            super::Guarantee::AtLeastOnce => false,
        }
    }

    /// Learns how a run stands.
    pub(crate) fn stands(&mut self, run: &RunId, status: Status, outcome: Outcome) {
        let facts = self.facts.run(run);
        if status.is_terminal() {
            facts.outcome = outcome;
        }
        facts.status = Some(status);
    }
}
