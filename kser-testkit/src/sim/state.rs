mod choices;
mod injection;
mod process_end;
mod records;
mod rows;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{Clock, Record, Timestamp};
use tokio::sync::Notify;

pub(in crate::sim) use self::choices::Action;
pub(in crate::sim) use self::injection::FollowUp;
pub(crate) use self::view::RunView;
use super::Setup;
use super::broker::{Broker, MemberId, Spot};
use super::clock::SimClock;
use super::envelopes::Envelopes;
use super::facts::Facts;
use super::idle::Idle;
use super::labels::Labels;
use super::mark::{Act, Mark};
use super::outbox::Outbox;
use super::sites::Sites;
use super::trace::Trace;
use crate::faults::{Fault, Kind, Site};
use crate::heartbeat::Heartbeat;

/// The state that the processes of a simulated run share: the broker, and the observations of the run.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    idle: Idle,
    clock: SimClock,
    /// A driver lets calls through one by one. Without a driver they go through at once.
    driven: bool,
    changed: Notify,
}

/// The state behind the lock of [`Shared`].
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
    /// The lives of processes that crash as soon as nothing else can run.
    pub(crate) dying: Vec<usize>,
    /// Outputs that the store keeps and that are not relayed.
    pub(crate) outputs: BTreeMap<OutputId, Record>,
    /// How far the clocks of the consumers' machines are ahead.
    pub(crate) ahead: BTreeMap<usize, Duration>,
    pub(crate) outage: Option<Outage>,
    /// The next publication stops half way.
    pub(crate) half: bool,
    /// The next publication was in flight before its process froze: the broker does not check whether the member still owns
    /// the delivery.
    pub(crate) late: bool,
    pub(crate) now: Duration,
}

/// A life of a process, from a start to its end.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) name: Arc<str>,
    /// Which consumer it is a life of; `None` for a client.
    pub(crate) consumer: Option<usize>,
    pub(crate) alive: bool,
    pub(crate) members: Vec<MemberId>,
    /// The moment until which the process is frozen.
    pub(crate) frozen: Option<Duration>,
    /// How far its clock is ahead of the others.
    pub(crate) ahead: Duration,
    /// How many handlers it may run at once, and how many records it may hold; `None` for a client.
    pub(crate) limits: Option<Limits>,
    /// How many handlers run.
    pub(crate) running: usize,
    pub(crate) outbox: Outbox,
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
    /// The store is out, instead of the broker.
    pub(crate) store: bool,
}

/// A call that waits to be let through.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) life: usize,
    pub(crate) request: Request,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) waker: Waker,
    /// The call was in flight when its process froze.
    pub(crate) late: bool,
}

/// The request of a parked call.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Call {
        kind: Kind,
        path: Arc<str>,
    },
    Receive(MemberId),
    /// To leave, once nothing is held.
    Leave(MemberId),
}

/// The decision of the driver on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    /// The call has its effect, and its process crashes.
    GoAndDie,
    /// The call has its effect, and fails.
    GoAndFail,
    /// The call has no effect, and fails.
    Refuse,
    /// The call takes a while, and then has its effect.
    Hang,
    Panic,
    Give {
        spot: Spot,
        die: bool,
    },
    /// The member looks at its state at the broker again, since it may be superseded or gone.
    Look,
}

impl Shared {
    /// Returns the envelopes between the clients and the broker.
    pub(crate) fn envelopes(&self) -> Envelopes {
        self.with(|state| state.broker.setup.envelopes.clone())
    }

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

    /// Calls a closure with the shared state, under the lock.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock())
    }

    /// Calls a closure with the shared state, whose events are noted with the time of now.
    pub(crate) fn timed<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let now = self.0.clock.elapsed();
        let mut state = self.lock();
        state.now = now;
        f(&mut state)
    }

    /// Calls a closure that changes the broker, and wakes the driver and the members that wait for changes.
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

    /// Returns the notification of changes of the broker, which members wait for where there is no driver.
    pub(crate) fn changes(&self) -> &Notify {
        &self.0.changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes a line of the trace.
    pub(crate) fn note(&mut self, who: &str, mark: impl Into<Mark>, what: impl Into<String>) {
        self.trace.note(self.now, who, mark.into(), what.into());
    }

    /// Notes a fault that is injected.
    pub(crate) fn goes_wrong(&mut self, who: &str, fault: Fault, kind: Kind, site: &Site) {
        let mark = Act::Fault(fault, kind).of(site.path());
        self.note(who, mark, format!("{fault} {site}"));
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
            outbox: Outbox::default(),
        });
        self.lives.len() - 1
    }

    pub(crate) fn is_alive(&self, life: usize) -> bool {
        self.lives.get(life).is_some_and(|life| life.alive)
    }
}
