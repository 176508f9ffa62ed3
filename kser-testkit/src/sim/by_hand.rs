use std::fmt;
use std::time::Duration;

use kser_core::Message;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::driver::Driver;
use super::finished::End;
use super::run::Run;
use super::state::Shared;
use crate::invariants;

/// A run that a test leads by hand: one call at a time, with crashes where the test wants them.
///
/// A consumer that crashed stays down until it is started again. In all methods, time passes only when nothing else can
/// happen. With the feature `html`, a test that fails writes the page of its run, and prints the name of the file.
pub struct ByHand<S> {
    pub(crate) runtime: Runtime,
    pub(crate) driver: Driver,
    pub(crate) state: S,
    pub(crate) shared: Shared,
    pub(crate) end: Option<End>,
}

impl<S> ByHand<S> {
    /// Returns the value that the closure of the scenario returned.
    pub const fn state(&self) -> &S {
        &self.state
    }

    /// Lets one call through, or lets time pass until a process can go on. Returns the new events, a line for each; the text
    /// is empty once all is done.
    pub fn step(&mut self) -> String {
        let from = self.shared.with(|state| state.trace.len());
        while self.end.is_none() && self.shared.with(|state| state.trace.len()) == from {
            let limit = self.driver.limit;
            self.advance(limit);
        }
        self.shared.with(|state| {
            let count = state.trace.len() - from;
            state.trace.last(count).collect::<Vec<_>>().join("\n")
        })
    }

    /// Goes on until something happens whose line in the trace has this text in it.
    ///
    /// # Panics
    ///
    /// When the run comes to its end before.
    #[track_caller]
    pub fn run_until(&mut self, text: &str) {
        loop {
            let happened = self.step();
            if happened.contains(text) {
                return;
            }
            assert!(
                self.end.is_none(),
                "it never came to {text:?}:\n{}",
                self.trace()
            );
        }
    }

    /// Goes on for this long, in the time of the simulation.
    pub fn pass(&mut self, time: Duration) {
        let until = {
            let _inside = self.runtime.enter();
            Instant::now() + time
        };
        loop {
            let now = {
                let _inside = self.runtime.enter();
                Instant::now()
            };
            if now >= until {
                return;
            }
            self.end = None;
            self.advance(until);
            if self.end.is_some() {
                let driver = &mut self.driver;
                self.runtime.block_on(driver.let_time_pass(until));
            }
        }
    }

    /// Ends the process of a consumer, such as `c1`, at once.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[track_caller]
    pub fn crash(&mut self, consumer: &str) {
        let driver = &mut self.driver;
        let crashed = self
            .runtime
            .block_on(async { driver.crash_named(consumer) });
        assert!(crashed, "no consumer {consumer} runs");
        self.end = None;
    }

    /// Starts a consumer that is down.
    ///
    /// # Panics
    ///
    /// When it runs, or there is none of the name.
    #[track_caller]
    pub fn restart(&mut self, consumer: &str) {
        let driver = &mut self.driver;
        let started = self
            .runtime
            .block_on(async { driver.start_named(consumer) });
        assert!(started, "no consumer {consumer} is down");
        self.end = None;
    }

    /// Lists the messages that wait in a topic or are being worked on, in their order.
    #[must_use]
    pub fn messages(&self, topic: &str) -> Vec<Message> {
        self.shared.with(|state| {
            let waiting = state.broker.waiting().into_iter();
            let here = waiting.filter(|one| one.record.topic.as_str() == topic);
            here.filter_map(|one| one.decoded.message().cloned())
                .collect()
        })
    }

    /// Goes on to the end of all that was asked for.
    ///
    /// # Panics
    ///
    /// When that does not come within an hour of the simulation, or something breaks an invariant.
    #[track_caller]
    pub fn finish(&mut self) {
        while self.end.is_none() {
            let limit = self.driver.limit;
            self.advance(limit);
        }
        let broken = self
            .shared
            .with(|state| state.facts.broken.first().cloned());
        let trace = self.trace();
        assert!(broken.is_none(), "{broken:?}\n{trace}");
        assert!(
            self.end == Some(End::Done),
            "it does not come to its end: {:?}\n{trace}",
            self.end
        );
        let lost = self.shared.with(|state| {
            let (facts, view) = state.observe();
            invariants::find_lost(facts, view)
        });
        assert!(lost.is_none(), "{lost:?}\n{trace}");
    }

    /// Returns the run, to look at it and to assert.
    #[must_use]
    pub fn run(&self) -> Run<'_, S> {
        Run {
            state: &self.state,
            shared: &self.shared,
            elapsed: self.shared.clock().elapsed_in(&self.runtime),
        }
    }

    fn trace(&self) -> super::Trace {
        self.shared.with(|state| state.trace.clone())
    }

    /// Writes the page of the run of a test that fails. Returns a line that names the file.
    #[cfg(feature = "html")]
    fn written(&self) -> String {
        let (test, trace) = (crate::environment::test_name(), self.trace());
        let page = crate::page::Page {
            test: test.as_deref(),
            broken: "the test fails",
            what: "The test leads the run by hand. Its own output says why it fails.",
            faults: &[],
            order: "as the test leads it",
            again: "run the test",
            failing: &trace,
            good: None,
        };
        crate::page::write(&page.render())
    }

    fn advance(&mut self, until: Instant) {
        let driver = &mut self.driver;
        self.end = self.runtime.block_on(async {
            let end = driver.advance(until).await;
            driver.settle_down().await;
            end
        });
    }
}

impl<S> Drop for ByHand<S> {
    fn drop(&mut self) {
        #[cfg(feature = "html")]
        if std::thread::panicking() {
            eprintln!("\n{}", self.written());
        }
        let driver = &mut self.driver;
        self.runtime.block_on(driver.end());
    }
}

impl<S: fmt::Debug> fmt::Debug for ByHand<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ByHand");
        shown
            .field("state", &self.state)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
