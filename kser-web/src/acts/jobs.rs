use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kser_ops::{ActReport, Ends, LeftBehind, Ops, OpsError, Pace};
use tokio::task::JoinHandle;

use super::plans::{Plan, Planned};
use crate::access::{AccessError, tokens};

/// The most acts that are remembered. The one that ended first is forgotten.
const KEPT: usize = 64;

/// The most reasons that are kept of an act.
const REASONS: usize = 100;

/// An act on many that goes on, or has ended.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) planned: Arc<Planned>,
    pub(crate) actor: String,
    pub(crate) reason: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shown: Shown,
    task: Option<JoinHandle<()>>,
}

/// The progress of an act.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) done: u64,
    pub(crate) ends: Ends,
    pub(crate) refused: u64,
    /// Those that are left, with the reasons.
    pub(crate) left: Vec<(String, String)>,
    pub(crate) not_tried: u64,
    pub(crate) stopped: Option<String>,
    pub(crate) has_ended: bool,
}

impl Shown {
    fn of<L: LeftBehind>(report: &ActReport<L>, has_ended: bool) -> Self {
        let left = report.left.iter().take(REASONS);
        Self {
            done: report.done,
            ends: report.ends,
            refused: report.refused,
            left: left
                .map(|it| (it.subject(), it.reason().to_owned()))
                .collect(),
            not_tried: report.not_tried,
            stopped: report.stopped.clone(),
            has_ended,
        }
    }
}

impl Job {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shown(&self) -> Shown {
        self.state().shown.clone()
    }

    fn tell(&self, shown: Shown) {
        let mut state = self.state();
        // An act that was stopped may end a step that it had begun.
        if !state.shown.has_ended {
            state.shown = shown;
        }
    }

    /// Stops the act before the next letter or run.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        if let Some(task) = state.task.take() {
            task.abort();
        }
        let shown = &mut state.shown;
        if !shown.has_ended {
            shown.has_ended = true;
            shown.stopped = Some("a person has stopped it".to_owned());
            let tried = shown.done + shown.refused;
            shown.not_tried = self.planned.plan.taken().saturating_sub(tried);
        }
    }

    async fn carry_out(&self, ops: &Ops, pace: &Pace) {
        let by = (self.actor.as_str(), self.reason.as_str());
        let done = match &self.planned.plan {
            Plan::Letters(plan) => {
                let tell = |report: &ActReport<_>| self.tell(Shown::of(report, false));
                let report = ops.act_on_letters(plan, pace, tell).await;
                report.map(|report| Shown::of(&report, true))
            }
            Plan::Runs(plan) => {
                let tell = |report: &ActReport<_>| self.tell(Shown::of(report, false));
                let report = ops.act_on_runs(plan, by, pace, tell).await;
                report.map(|report| Shown::of(&report, true))
            }
        };
        let shown = done.unwrap_or_else(|error| Shown {
            stopped: Some(error.to_string()),
            has_ended: true,
            ..self.shown()
        });
        self.tell(shown);
    }
}

/// The acts on many. Cloning is cheap. Those that go on end with the last clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    jobs: Mutex<Vec<Arc<Job>>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let jobs = self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().for_each(|job| job.stop());
    }
}

impl Jobs {
    fn kept(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.kept
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an act, by the name of its actor.
    pub(crate) fn begin(
        &self,
        ops: &Ops,
        planned: Arc<Planned>,
        (actor, reason): (&str, &str),
        pace: Pace,
    ) -> Result<Arc<Job>, AccessError> {
        let job = Arc::new(Job {
            id: tokens::random()?,
            planned,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            state: Mutex::default(),
        });
        let (own, ops) = (Arc::clone(&job), ops.clone());
        let task = tokio::spawn(async move { own.carry_out(&ops, &pace).await });
        job.state().task = Some(task);
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            let ended = kept.iter().position(|job| job.shown().has_ended);
            kept.remove(ended.unwrap_or_default());
        }
        kept.push(Arc::clone(&job));
        Ok(job)
    }

    /// Returns an act.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Job>, OpsError> {
        let found = self.kept().iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| OpsError::NotFound {
            what: "there is no such act, or it is forgotten".to_owned(),
        })
    }
}
