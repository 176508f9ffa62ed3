use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_ops::Ops;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

use super::subject::Subject;
use crate::acts::jobs::Jobs;

/// The most streams.
pub(crate) const MOST: usize = 200;

/// The time between two looks at the subjects.
const TURN: Duration = Duration::from_millis(800);

/// The news that wait for a browser that does not read.
const ROOM: usize = 16;

/// The turns after which a browser that does not read is given up.
const PATIENCE: u32 = 75;

/// A piece of news for a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// A subject is looked at from now on.
    Begun(Subject),
    /// A subject has changed.
    Changed(Subject),
    /// The browser has missed news: all of it may have changed.
    Missed,
}

/// The streams of browsers, and the states of the subjects that they see. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    streams: Vec<Stream>,
    /// Whether a task looks at the subjects.
    is_looking: bool,
}

#[derive(Debug)]
struct Stream {
    sees: BTreeSet<Subject>,
    to: Sender<News>,
    /// The turns for which the browser has not read; 0 while it does.
    behind: u32,
}

impl Stream {
    /// Tells a piece of news, or notes that it is missed.
    fn tell(&mut self, news: News) {
        if self.behind == 0 && matches!(self.to.try_send(news), Err(TrySendError::Full(_))) {
            self.behind = 1;
        }
    }

    /// Tells a browser that reads again that it has missed news. Says whether the stream goes on.
    fn turn(&mut self) -> bool {
        if self.behind > 0 {
            self.behind = match self.to.try_send(News::Missed) {
                Ok(()) => 0,
                Err(_) => self.behind + 1,
            };
        }
        !self.to.is_closed() && self.behind < PATIENCE
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream of news about subjects; `None` when there are as many streams as there may be.
    pub(crate) fn open(
        &self,
        ops: &Ops,
        jobs: &Jobs,
        sees: BTreeSet<Subject>,
    ) -> Option<Receiver<News>> {
        let mut state = self.state();
        state.streams.retain(|stream| !stream.to.is_closed());
        if state.streams.len() >= MOST {
            return None;
        }
        let (to, from) = channel(ROOM.max(sees.len() + 1));
        state.streams.push(Stream {
            sees,
            to,
            behind: 0,
        });
        if !state.is_looking {
            state.is_looking = true;
            let (state, ops, jobs) = (Arc::downgrade(&self.state), ops.clone(), jobs.clone());
            tokio::spawn(async move {
                let mut turns = interval(TURN);
                turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut looks = Looks::default();
                loop {
                    turns.tick().await;
                    let Some(state) = state.upgrade() else { return };
                    let hub = Self { state };
                    if !hub.look(&ops, &jobs, &mut looks).await {
                        return;
                    }
                }
            });
        }
        Some(from)
    }

    /// Looks at the subjects of all streams. Says whether there are streams.
    async fn look(&self, ops: &Ops, jobs: &Jobs, looks: &mut Looks) -> bool {
        let seen: BTreeSet<Subject> = {
            let mut state = self.state();
            state.streams.retain_mut(Stream::turn);
            if state.streams.is_empty() {
                state.is_looking = false;
                return false;
            }
            state
                .streams
                .iter()
                .flat_map(|stream| stream.sees.iter().cloned())
                .collect()
        };
        let changed = looks.turn(ops, jobs, seen).await;
        let mut state = self.state();
        for stream in &mut state.streams {
            for (subject, is_first) in &changed {
                if stream.sees.contains(subject) {
                    stream.tell(match is_first {
                        true => News::Begun(subject.clone()),
                        false => News::Changed(subject.clone()),
                    });
                }
            }
        }
        true
    }
}

/// The states of the subjects at the last look.
#[derive(Default)]
struct Looks {
    states: BTreeMap<Subject, String>,
    turns: u64,
}

impl Looks {
    /// Returns the subjects that have changed since the last turn, and those that are looked at for the first time.
    async fn turn(
        &mut self,
        ops: &Ops,
        jobs: &Jobs,
        seen: BTreeSet<Subject>,
    ) -> Vec<(Subject, bool)> {
        self.turns += 1;
        self.states.retain(|subject, _| seen.contains(subject));
        let mut changed = Vec::new();
        for subject in seen {
            let before = self.states.get(&subject);
            if before.is_some() && !subject.is_quick() && self.turns.is_multiple_of(2) {
                continue;
            }
            // A backend that does not answer has not changed; a run that is purged has.
            let state = match subject.state(ops, jobs).await {
                Ok(state) => state,
                Err(error) if error.is_temporary() => continue,
                Err(error) => error.to_string(),
            };
            if before != Some(&state) {
                changed.push((subject.clone(), before.is_none()));
                self.states.insert(subject, state);
            }
        }
        changed
    }
}
