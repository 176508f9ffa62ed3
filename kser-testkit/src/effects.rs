//! The external effects of tasks.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use kser_core::TaskError;

use crate::faults::Kind;
use crate::sim::{Act, Attempt, EffectFacts, Shared};

/// A simulated external service that tasks call, such as a bank. It records its effects, and a crash may come before or after
/// each call.
///
/// A call with a key has one effect for that key, as in a service that knows idempotency keys. A call without a key has an effect
/// each time. A task that repeats an effect breaks the invariant `EffectOnce`, unless the service
/// [may be repeated](crate::World::repeatable). So does a key that another task has used, because the service does nothing for
/// the second task, unless the key is [given as shared](EffectCall::with_shared_key).
///
/// Cloning is cheap, and clones are the same service.
#[derive(Clone)]
pub struct Effects {
    name: Arc<str>,
    shared: Shared,
}

/// A call of a service, made when it is awaited.
#[must_use = "nothing is done until it is awaited"]
pub struct EffectCall {
    effects: Effects,
    what: Arc<str>,
    key: Option<Arc<str>>,
    shared_key: bool,
}

impl Effects {
    pub(crate) fn new(name: &str, shared: &Shared) -> Self {
        Self {
            name: name.into(),
            shared: shared.clone(),
        }
    }

    /// Calls the service for an effect, such as `charge`. The call may fail, where the faults of a run say so, with an error that
    /// is worth another attempt.
    ///
    /// Call it in the handler itself. In any other place, such as a task that the handler spawns, the simulation does not know
    /// the task that the effect belongs to: the call fails, and the run ends there as a violation of `EffectOnce`.
    pub fn call(&self, what: impl AsRef<str>) -> EffectCall {
        EffectCall {
            effects: self.clone(),
            what: what.as_ref().into(),
            key: None,
            shared_key: false,
        }
    }

    /// Returns the number of times that an effect was done, over all tasks.
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        self.done(what, None).len()
    }

    /// Asserts that each of these effects was done exactly once, over all tasks. Where several runs have the same effects,
    /// [`assert_exactly_once_in`](Self::assert_exactly_once_in) asks about one of the runs.
    ///
    /// # Panics
    ///
    /// If one was not, or more often.
    #[track_caller]
    pub fn assert_exactly_once<'a>(&self, whats: impl IntoIterator<Item = &'a str>) {
        self.once(whats, None);
    }

    /// Asserts that each of these effects was done exactly once in a run of an operation, or by a lone task. Takes the id of
    /// either.
    ///
    /// # Panics
    ///
    /// If one was not, or more often.
    #[track_caller]
    pub fn assert_exactly_once_in<'a>(
        &self,
        run: impl AsRef<str>,
        whats: impl IntoIterator<Item = &'a str>,
    ) {
        self.once(whats, Some(run.as_ref()));
    }

    #[track_caller]
    fn once<'a>(&self, whats: impl IntoIterator<Item = &'a str>, run: Option<&str>) {
        let within = run.map(|run| format!(" in {run}")).unwrap_or_default();
        for what in whats {
            let done = self.done(what, run);
            let (name, by) = match &*done {
                [_] => continue,
                [] => ("EffectDone", String::new()),
                done => ("EffectOnce", format!(": by {}", done.join(" and by "))),
            };
            let count = done.len();
            panic!(
                "{name}: {}.{what} was done {count} times{within}, and not once{by}",
                self.name
            );
        }
    }

    /// Ends the run. A panic would come back to the handler as an error of tokio's, whose text is another one each time.
    fn called_outside(&self, what: &str) -> TaskError {
        let what = format!(
            "{}.{what} is called outside a handler: call it in the handler itself, not in a task that it spawns, nor in a \
             client or the check",
            self.name
        );
        self.shared
            .change(|state, _| state.facts.add_violation("EffectOnce", what.clone()));
        TaskError::permanent("OutsideHandler", what)
    }

    /// Lists the tasks that did an effect, one entry for each time, in one run or in all.
    fn done(&self, what: &str, run: Option<&str>) -> Vec<Arc<str>> {
        self.shared.with(|state| {
            let effects = state.facts.effects.iter();
            let done = effects.filter(|one| one.service == self.name && !one.repeated);
            let done = done.filter(|one| &*one.what == what);
            let here = done.filter(|one| run.is_none_or(|run| one.run.as_str() == run));
            here.map(|one| Arc::clone(&one.label)).collect()
        })
    }

    /// Asserts that each of these effects was done at least once.
    ///
    /// # Panics
    ///
    /// If one was not.
    #[track_caller]
    pub fn assert_at_least_once<'a>(&self, whats: impl IntoIterator<Item = &'a str>) {
        for what in whats {
            assert!(
                self.count(what) > 0,
                "EffectDone: {}.{what} was never done",
                self.name
            );
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Effects").field(&self.name).finish()
    }
}

impl EffectCall {
    /// Gives the key by which the service knows a call that is made again, such as
    /// [`Context::idempotency_key`](kser_core::Context::idempotency_key).
    pub fn with_key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(key.as_ref().into());
        self
    }

    /// Gives a key that other tasks give too, on purpose: the first call has the effect for all of them.
    pub fn with_shared_key(mut self, key: impl AsRef<str>) -> Self {
        self.shared_key = true;
        self.with_key(key)
    }

    async fn go(self) -> Result<(), TaskError> {
        let Self {
            effects,
            what,
            key,
            shared_key,
        } = self;
        let Some(attempt) = Attempt::current() else {
            return Err(effects.called_outside(&what));
        };
        let Attempt {
            port,
            task,
            run,
            label,
        } = attempt;
        let path = format!("{label}/{}.{what}", effects.name);
        let apply = async {
            port.shared.change(|state, _| {
                let known = |one: &EffectFacts| {
                    one.service == effects.name && one.what == what && one.key == key
                };
                let repeated = key.is_some() && state.facts.effects.iter().any(known);
                let shown = match repeated {
                    true => ", which was done before",
                    false => "",
                };
                port.note(
                    state,
                    Act::Effect(Arc::clone(&effects.name)).of(Arc::clone(&label)),
                    format!("{label} does {}.{what}{shown}", effects.name),
                );
                state.facts.effects.push(EffectFacts {
                    service: Arc::clone(&effects.name),
                    what: Arc::clone(&what),
                    key: key.clone(),
                    shared_key,
                    task: task.clone(),
                    run: run.clone(),
                    label: Arc::clone(&label),
                    by: Arc::clone(&port.name),
                    at: state.now,
                    repeated,
                });
            });
        };
        let done = port.call(Kind::Effect, path, apply).await;
        done.map_err(|_| {
            let text = format!("{}.{what} did not answer", effects.name);
            TaskError::new("NoAnswer", text)
                .with_code(503)
                .into_temporary()
        })
    }
}

impl fmt::Debug for EffectCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EffectCall({}.{})", self.effects.name, self.what)
    }
}

impl IntoFuture for EffectCall {
    type Output = Result<(), TaskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.go())
    }
}
