use std::fmt;

use kser_core::sequencing::{Event, StepKey, apply};
use kser_core::store::Intervention;
use kser_core::{Error, NotPublished, Outcome, RunId, TaskId};
use tracing::Instrument;

use crate::engine::run_view::RunView;
use crate::engine::stored::run_ref;
use crate::observer::Observation;
use crate::publish::is_refusal;
use crate::run::RunState;
use crate::runs::{Runs, info, state};
use crate::traces::verb_span;

/// A verb that repairs a run, for [`Runs::act`](crate::run::Runs::act), and for [`Runs::check`](crate::run::Runs::check) beforehand.
///
/// Displays as the text that the attempts of the run keep.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunVerb {
    /// [`Runs::cancel`](crate::run::Runs::cancel).
    Cancel,
    /// [`Runs::resume`](crate::run::Runs::resume).
    Resume,
    /// [`Runs::retry_step`](crate::run::Runs::retry_step).
    RetryStep(TaskId),
    /// [`Runs::skip_step`](crate::run::Runs::skip_step).
    SkipStep(TaskId, Outcome),
    /// [`Runs::report`](crate::run::Runs::report).
    Report(TaskId, Outcome),
}

impl RunVerb {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Resume => "resume",
            Self::RetryStep(_) => "retry step",
            Self::SkipStep(..) => "skip step",
            Self::Report(..) => "report",
        }
    }

    /// Makes the event of the verb for a run that stands there.
    pub(super) fn event(&self, id: &RunId, view: &RunView) -> Event {
        match self {
            Self::Cancel => Event::Cancelled,
            Self::Resume => Event::Resumed,
            Self::RetryStep(step) => Event::Retried {
                step: step_named(view, id, step),
            },
            Self::SkipStep(step, outcome) => Event::Skipped {
                step: step_named(view, id, step),
                outcome: outcome.clone(),
            },
            Self::Report(step, outcome) => Event::Reported {
                step: step_named(view, id, step),
                outcome: outcome.clone(),
                seen: 0,
            },
        }
    }
}

impl Runs {
    /// Returns where a run would stand after a verb, by the rules that the verb itself asks. Nothing is changed; the run may change
    /// before the verb is applied.
    ///
    /// ```
    /// use kser::run::RunVerb;
    /// # use kser::{Error, Step, Status};
    /// # #[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
    /// # #[entrypoint("image.Resize")]
    /// # struct Resize {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let kser = kser::connect("memory://").await?;
    /// # let run = kser.producer().launch_steps("image.One", vec![Step::new(Resize {})]).await?;
    /// let after = kser.runs().check(run.id(), &RunVerb::Cancel).await?;
    /// assert_eq!(after.status, Status::Cancelled);
    /// assert_eq!(run.status().await?.status, Status::Running);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those that the verb would have, but for those of publishing.
    pub async fn check(&self, id: &RunId, verb: &RunVerb) -> Result<RunState, Error> {
        let stored = self.stored(verb.name())?;
        let view = stored.view(id).await?;
        let event = verb.event(id, &view);
        let after = apply(&view.progress, view.near(), event.clone(), stored.now());
        let after = after.map_err(|source| Error::Rejected {
            id: id.clone(),
            source,
        })?;
        if after.changed {
            let info = info(stored, id).await?;
            stored.must_fit(&run_ref(&info)?, &view, event, Some(&info.launch))?;
        }
        Ok(state(id, &after.progress))
    }

    /// Does as the method of the verb does.
    ///
    /// # Errors
    ///
    /// Those of the method.
    pub async fn act(&self, id: &RunId, verb: &RunVerb) -> Result<(), Error> {
        let name = verb.name();
        let stored = self.stored(name)?;
        let info = info(stored, id).await?;
        let mut run = run_ref(&info)?;
        let span = verb_span(stored.shared.tracer(), name, id, &mut run.metadata);
        let launch = Some(&info.launch);
        let fits = |view: &RunView, event| stored.must_fit(&run, view, event, launch);
        let by = self.by.as_ref().map(|(actor, reason)| {
            Intervention::new(name.to_owned(), actor.clone(), reason.clone())
        });
        let view = stored.view(id).await?;
        let event = |view: &RunView| verb.event(id, view);
        let done = stored.carry_out(&run, view, launch, by.as_ref(), event, fits);
        let done = done.instrument(span).await?;
        let operation = &run.name;
        stored.shared.observe(&Observation::RunRepaired {
            operation,
            verb: name,
        });
        match done.published.map_err(NotPublished::into_error) {
            Err(error) if is_refusal(&error) => Err(error),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(target: "kser", run = ?id, verb = name, error, "publishing what follows from a verb failed; a sweep publishes it");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

impl fmt::Display for RunVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Returns the step of that id, if the run stands there; else one that the rules refuse.
fn step_named(view: &RunView, run: &RunId, step: &TaskId) -> StepKey {
    let position = view.progress.position();
    match &view.here {
        Some(here) if here.key.uuid == *step => here.key.clone(),
        _ => StepKey {
            // The rules do not know the name of a build: it is the run's.
            position: match step.as_str() == run.as_str() {
                true => position,
                false => position.max(1),
            },
            uuid: step.clone(),
            entrypoint: "".into(),
        },
    }
}
