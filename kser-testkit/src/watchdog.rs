//! Ends the process when a simulated run stands still in real time: nothing else can.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::environment;

/// How long a run may take without a step, unless the environment says otherwise.
const PATIENCE: u64 = 20;

/// Watches the runs of one test, from when it is made until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pulse: Pulse,
    _alive: Sender<()>,
}

/// Tells the watchdog that something happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    beats: AtomicU64,
    /// What the run did last.
    latest: Mutex<String>,
}

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Says what is begun, and might not end.
    pub(crate) fn begin(&self, what: &str) {
        self.beat();
        what.clone_into(&mut self.0.latest.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Watchdog {
    /// Watches the runs of the test on this thread.
    pub(crate) fn start() -> Self {
        let (alive, gone) = channel();
        let pulse = Pulse::default();
        let patience = environment::number("KSER_TESTKIT_PATIENCE").unwrap_or(PATIENCE);
        if patience > 0 {
            let (watched, test) = (pulse.clone(), crate::explore::test_name());
            let test = test.unwrap_or_else(|| "a simulation".to_owned());
            let patience = Duration::from_secs(patience);
            thread::spawn(move || watch(&watched, &gone, patience, &test));
        }
        Self {
            pulse,
            _alive: alive,
        }
    }

    pub(crate) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
}

fn watch(pulse: &Pulse, gone: &Receiver<()>, patience: Duration, test: &str) {
    let mut before = u64::MAX;
    while gone.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
        let beats = pulse.0.beats.load(Ordering::Relaxed);
        if beats == before {
            let latest = pulse
                .0
                .latest
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Not with `eprintln`, which a test captures, and nobody would see it.
            let _ = writeln!(
                std::io::stderr(),
                "{test} hangs: for {patience:?} of real time nothing has happened in the simulation, and the last that \
                 began is {latest:?}. A handler or a client blocks its thread or goes round without end: use tokio's time \
                 and tokio's locks, await what takes long, and leave sleeping to `tokio::time::sleep`, which costs no time \
                 here. KSER_TESTKIT_PATIENCE sets how many seconds a run may stand still, 0 for ever"
            );
            std::process::exit(101);
        }
        before = beats;
    }
}
