use crate::log::{self, LogOptions};
use crate::sequencing::{
    Effect, Event, PlannedStep, Progress, StepKey, StepWindow, Transition, apply,
};
use crate::{
    Context, Handler, Message, OperationEntry, Outcome, Plan, Registry, RunId, Status,
    StatusChange, TaskError, Timestamp,
};

impl Registry {
    /// Runs a task or a whole operation in this process at once, without a transport. An error becomes an outcome.
    ///
    /// The steps of an operation run one after another, by the same rules as on consumers; the outcome of each step is
    /// forwarded to the next. There is no clock and so no second attempt, the messages that handlers send are dropped, and
    /// an external step is an error.
    ///
    /// ```
    /// # use kser_core::{Entrypoint, Message, Object, Registry, Step, TaskError};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Serialize, Deserialize)] struct Roll {}
    /// # impl Entrypoint for Roll { const PATH: &'static str = "dice.Roll"; }
    /// # #[derive(Serialize, Deserialize)] struct Game {}
    /// # impl Entrypoint for Game { const PATH: &'static str = "dice.Game"; }
    /// # async fn roll(_: Roll) -> &'static str { "You made a 4" }
    /// # async fn game(_: Game) -> Result<Vec<Step>, TaskError> { Ok(vec![Step::new(Roll {}); 3]) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kser_core::Error> {
    /// let registry = Registry::new().task(roll).operation(game).build()?;
    /// let message = Message::new("game-1".into(), "dice.Game".into(), Object::default());
    /// let outcome = registry.execute(&message).await;
    /// assert_eq!(outcome.message(), "You made a 4");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn execute(&self, message: &Message) -> Outcome {
        self.executed(message).await.0
    }

    /// Like [`execute`](Self::execute), but a failure is an error.
    ///
    /// # Errors
    ///
    /// The error of the task, of the build, or of the step that failed.
    pub async fn unsafe_execute(&self, message: &Message) -> Result<Outcome, TaskError> {
        let (outcome, error) = self.executed(message).await;
        match error.or_else(|| outcome.error()) {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    /// Returns the outcome, and the error itself, which has more data than its outcome.
    async fn executed(&self, message: &Message) -> (Outcome, Option<TaskError>) {
        if let Some(Handler::Operation(entry)) = self.get(&message.entrypoint) {
            return LocalRun::new(self, entry, message).run().await;
        }
        let ctx = Context::new(message);
        match self.run_task(&ctx, message).await {
            Ok(outcome) if outcome.is_success() => {
                let outcome = outcome.accepted(&message.result, &message.uuid);
                (outcome, None)
            }
            Ok(failure) => (failure, None),
            Err(error) => failed(error, message),
        }
    }

    async fn run_task(&self, ctx: &Context, message: &Message) -> Result<Outcome, TaskError> {
        let Some(Handler::Task(task)) = self.get(&message.entrypoint) else {
            let text = format!("Entrypoint '{}' not registred", message.entrypoint);
            return Err(TaskError::validation(text));
        };
        task.run(ctx, &message.params).await
    }
}

fn failed(error: TaskError, message: &Message) -> (Outcome, Option<TaskError>) {
    let outcome = Outcome::from(&error).with_uuid(message.uuid.clone());
    (outcome, Some(error))
}

/// A run of an operation in this process, without a transport.
struct LocalRun<'a> {
    registry: &'a Registry,
    entry: &'a OperationEntry,
    message: &'a Message,
    progress: Progress,
    steps: Vec<PlannedStep>,
    error: Option<TaskError>,
}

impl<'a> LocalRun<'a> {
    fn new(registry: &'a Registry, entry: &'a OperationEntry, message: &'a Message) -> Self {
        Self {
            registry,
            entry,
            message,
            progress: Progress::launched(Timestamp::default()),
            steps: Vec::new(),
            error: None,
        }
    }

    async fn run(mut self) -> (Outcome, Option<TaskError>) {
        self.build().await;
        while self.progress.status() == Status::Running {
            self.step().await;
        }
        let Message {
            uuid, entrypoint, ..
        } = self.message;
        let (who, longest) = (entrypoint.short(), LogOptions::default().longest());
        let outcome = self.progress.last_outcome().clone().with_uuid(uuid.clone());
        match outcome.is_success() {
            true => log::success(who, entrypoint, uuid, &outcome, longest),
            false => log::failed(who, entrypoint, uuid, &outcome, longest),
        }
        (outcome, self.error)
    }

    fn context(&self, message: &Message, step: u32) -> Context {
        Context::new(message).with_step(self.message.uuid.clone().into(), step)
    }

    async fn build(&mut self) {
        let launch = StepKey {
            position: 0,
            uuid: self.message.uuid.clone(),
            entrypoint: self.message.entrypoint.clone(),
        };
        self.told(started(launch)).await;
        let attempt = self.progress.attempts();
        let ctx = self.context(self.message, 0);
        let built = self.entry.build(&ctx, self.message).await;
        let event = match built.and_then(without_external) {
            Ok(plan) => {
                self.steps = plan.into_steps();
                let steps = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
                Event::Built { attempt, steps }
            }
            Err(error) => {
                let outcome = Outcome::from(&error);
                self.error = Some(error);
                Event::NotBuilt {
                    attempt,
                    outcome,
                    retry_at: None,
                }
            }
        };
        self.told(event).await;
    }

    async fn step(&mut self) {
        let Some(step) = self.planned(self.progress.position()).cloned() else {
            return;
        };
        self.told(started(step.key.clone())).await;
        let (uuid, entrypoint) = (step.key.uuid.clone(), step.key.entrypoint.clone());
        let mut message = Message::new(uuid, entrypoint, step.params);
        message.metadata = self.message.metadata.clone();
        let ctx = self.context(&message, step.key.position);
        let ctx = ctx.with_previous(self.progress.outcome().clone());
        let outcome = match self.registry.run_task(&ctx, &message).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let outcome = Outcome::from(&error);
                self.error = Some(error);
                outcome
            }
        };
        let attempt = self.progress.attempts();
        self.told(Event::Ended {
            step: step.key,
            attempt,
            outcome,
            retry_at: None,
        })
        .await;
    }

    /// Moves by the rules, and tells the hook.
    async fn told(&mut self, event: Event) {
        let position = self.progress.position();
        let window = StepWindow {
            current: self.planned(position),
            following: self.planned(position + 1),
        };
        // One process, one event at a time: nothing is ever refused.
        if let Ok(after) = apply(&self.progress, window, event, Timestamp::default()) {
            let Transition {
                progress, effects, ..
            } = after;
            self.progress = progress;
            for effect in effects {
                if let Effect::StatusChanged { from, to } = effect {
                    self.changed(from, to).await;
                }
            }
        }
    }

    async fn changed(&self, from: Status, to: Status) {
        let (run, name) = (&self.message.uuid, &self.message.entrypoint);
        log::set_status(name, run.as_str(), from, to);
        if !self.entry.has_status_hook() {
            return;
        }
        let outcome = to
            .is_terminal()
            .then(|| self.progress.last_outcome().clone());
        let (run, version) = (RunId::from(run.clone()), self.progress.version());
        let change = StatusChange::new(run, name.clone(), from, to, version, outcome);
        if let Err(error) = self.entry.on_status(&change).await {
            tracing::error!(target: "kser", %error, "the status hook of an operation failed; its run goes on");
        }
    }

    fn planned(&self, position: u32) -> Option<&PlannedStep> {
        let index = usize::try_from(position).ok()?.checked_sub(1)?;
        self.steps.get(index)
    }
}

const fn started(step: StepKey) -> Event {
    Event::Started {
        step,
        lease: None,
        alone: true,
        seen: 0,
    }
}

fn without_external(plan: Plan) -> Result<Plan, TaskError> {
    match plan.steps().iter().find(|step| step.external.is_some()) {
        Some(step) => {
            let text = format!(
                "step {} is an external step, which cannot run in this process",
                step.key.position
            );
            Err(TaskError::not_implemented(text))
        }
        None => Ok(plan),
    }
}
