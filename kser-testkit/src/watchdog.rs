//! Ends the process when a simulated run stands still in real time: nothing else can.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::choices::without_boring_end;
use crate::environment;
use crate::heartbeat::{Heartbeat, Latest};

/// How long a run may take without a step, unless the environment says otherwise.
const PATIENCE: u64 = 20;

/// How often it is looked within that time.
const LOOKS: u32 = 10;

/// Watches the runs of one test, from when it is made until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    heartbeat: Heartbeat,
    _alive: Sender<()>,
}

impl Watchdog {
    /// Watches the runs of the test on this thread.
    pub(crate) fn start() -> Self {
        let (alive, gone) = channel();
        let heartbeat = Heartbeat::default();
        let patience = environment::number("KSER_TESTKIT_PATIENCE").unwrap_or(PATIENCE);
        if patience > 0 {
            let (watched, test) = (heartbeat.clone(), environment::test_name());
            let test = test.unwrap_or_else(|| "a simulation".to_owned());
            let patience = Duration::from_secs(patience);
            thread::spawn(move || watch(&watched, &gone, patience, &test));
        }
        Self {
            heartbeat,
            _alive: alive,
        }
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }
}

fn watch(heartbeat: &Heartbeat, gone: &Receiver<()>, patience: Duration, test: &str) {
    let mut stillness = Stillness::default();
    while gone.recv_timeout(patience / LOOKS) == Err(RecvTimeoutError::Timeout) {
        if stillness.lasts(heartbeat.beats()) {
            let Latest { began, case } = &mut *heartbeat.latest();
            case.picks = without_boring_end(std::mem::take(&mut case.picks));
            // Not with `eprintln`, because a test captures its output, and the end of the process would lose it.
            let _ = writeln!(
                std::io::stderr(),
                "\n{test} hangs: for {patience:?} of real time nothing has happened in the simulation, and the last that \
                 began is {began:?}. A handler or a client blocks its thread or goes round without end: use tokio's time \
                 and tokio's locks, await what takes long, and leave sleeping to `tokio::time::sleep`, which costs no time \
                 here. KSER_TESTKIT_PATIENCE sets how many seconds a run may stand still, 0 for ever\n\
                 to make it again: KSER_TESTKIT_REPLAY='{case}' cargo test {test} -- --exact\n\
                 This ends the whole test binary: nothing else can end a thread that is blocked, and the tests that had \
                 not ended yet say nothing"
            );
            std::process::exit(101);
        }
    }
}

/// How long nothing has happened.
#[derive(Debug, Default)]
struct Stillness {
    beats: u64,
    looks: u32,
}

impl Stillness {
    /// Looks at the beats, and says whether there was none for as long as the patience is.
    const fn lasts(&mut self, beats: u64) -> bool {
        self.looks = if beats == self.beats {
            self.looks + 1
        } else {
            0
        };
        self.beats = beats;
        self.looks >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_one_patience_after_the_last_beat() {
        let mut stillness = Stillness::default();
        for beats in [0, 0, 1, 7] {
            assert!(!stillness.lasts(beats));
        }
        let looks = (1..).find(|_| stillness.lasts(7));
        assert_eq!(looks, Some(LOOKS));
    }
}
