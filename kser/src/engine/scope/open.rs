use bytes::Bytes;
use kser_core::{Envelope, Error, Message, Mode, Topic};

use super::RunScope;
use super::carried::CarriedScope;
use super::lone::LoneScope;
use super::stored::StoredScope;
use crate::engine::run_ref::RunRef;
use crate::engine::stored::Stored;
use crate::shared::Shared;

impl<'a> RunScope<'a> {
    /// Opens a task that is no step of a run of this consumer. `reply` is the topic of its report, if it is the external step of
    /// another service.
    pub(crate) const fn lone(shared: &'a Shared, reply: Option<Topic>) -> Self {
        Self::Lone(LoneScope { shared, reply })
    }

    /// Opens the run of which a message is a step, or which it asks for.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsStore`] without a store for a run whose state is stored, [`Error::Invalid`] for a run of another store.
    pub(crate) fn of_run(
        shared: &'a Shared,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<Self, Error> {
        let (id, name) = (envelope.run.clone(), envelope.name.clone());
        let run = RunRef::of_message(id, name, envelope.mode, message);
        match (envelope.mode, &shared.store) {
            (Mode::Stored, Some(store)) => {
                must_know(shared, envelope)?;
                Ok(Self::Stored(StoredScope::new(
                    Stored { shared, store },
                    run,
                )))
            }
            (Mode::Stored, None) => Err(Error::NeedsStore {
                verb: "a step whose state is stored",
            }),
            _ => Ok(Self::Carried(CarriedScope::new(shared, run))),
        }
    }

    /// Opens the run that a message asks for, given the payload of the message.
    ///
    /// # Errors
    ///
    /// As [`of_run`](Self::of_run).
    pub(crate) fn of_launch(
        shared: &'a Shared,
        message: &Message,
        payload: Option<Bytes>,
    ) -> Result<Self, Error> {
        let mut scope = match message.metadata.envelope() {
            Some(envelope) => Self::of_run(shared, message, envelope)?,
            None => {
                let run = RunRef {
                    id: message.uuid.clone().into(),
                    name: message.entrypoint.clone(),
                    mode: shared.mode,
                    metadata: message.metadata.clone(),
                    others: None,
                    home: None,
                };
                match &shared.store {
                    Some(store) if shared.stores_runs() => {
                        Self::Stored(StoredScope::new(Stored { shared, store }, run))
                    }
                    _ => Self::Carried(CarriedScope::new(shared, run)),
                }
            }
        };
        match &mut scope {
            Self::Lone(_) => {}
            Self::Carried(carried) => carried.launch = payload,
            Self::Stored(stored) => stored.launch = payload,
        }
        Ok(scope)
    }
}

/// Refuses a run of another store: a consumer of that one will see the message.
fn must_know(shared: &Shared, envelope: &Envelope) -> Result<(), Error> {
    let ours = &shared.writer.store;
    match &envelope.store {
        Some(store) if Some(store) != ours.as_ref() => Err(Error::Invalid {
            what: format!("operation {}", envelope.run),
            reason: format!("its state is in store {store}, not in the one of this consumer"),
        }),
        _ => Ok(()),
    }
}
