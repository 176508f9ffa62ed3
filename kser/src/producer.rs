use std::sync::Arc;

use bytes::Bytes;
use kser_core::{
    Entrypoint, Error, Message, Name, NotPublished, Object, Outcome, Record, Step, TaskId, Topic,
};

use crate::engine::records::STEP_ENDED;
use crate::launch::Launch;
use crate::publish::publish_one;
use crate::send_many::send_many;
use crate::send_task::SendTask;
use crate::shared::Shared;

/// Sends messages and launches operations. Cloning is cheap.
///
/// ```
/// # use kser::Entrypoint;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, Entrypoint)]
/// #[entrypoint("hall.Greet")]
/// struct Greet { name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kser::Error> {
/// let producer = kser::connect("memory://").await?.producer();
/// let task = producer.send(Greet { name: "Zoe".into() }).with_key("hall-1").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

impl Producer {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns a future that sends a task when it is awaited, without waiting for the end of the task.
    pub fn send<P: Entrypoint>(&self, params: P) -> SendTask {
        SendTask::new(
            Arc::clone(&self.shared),
            P::PATH.into(),
            Object::new(&params).map_err(Error::from),
        )
    }

    /// Returns a future that sends a task by its name, as [`send`](Self::send) does: for a program that does not have the type of its
    /// params.
    pub fn send_named(&self, entrypoint: impl Into<Name>, params: Object) -> SendTask {
        SendTask::new(Arc::clone(&self.shared), entrypoint.into(), Ok(params))
    }

    /// Sends many tasks at once. Returns for each, in order, the result that awaiting it alone would have returned.
    pub async fn send_all(
        &self,
        sends: impl IntoIterator<Item = SendTask>,
    ) -> Vec<Result<TaskId, Error>> {
        send_many(self.shared(), sends.into_iter()).await
    }

    /// Sends a message as it is, where the route of its entrypoint says, or to `topic` (given without the prefix).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::InvalidTopic`] before anything is sent, [`Error::MaybeSent`] when it is unknown
    /// whether the message was sent.
    pub async fn send_message(
        &self,
        message: &Message,
        topic: Option<&str>,
    ) -> Result<TaskId, Error> {
        let shared = self.shared();
        let topic = match topic {
            Some(topic) => shared.writer.routes.prefixed(&Topic::new(topic)?)?,
            None => shared.topic_of(&message.entrypoint)?,
        };
        let record = shared.writer.message(topic, message)?;
        publish_one(shared, record, &message.entrypoint, &message.uuid).await?;
        Ok(message.uuid.clone())
    }

    /// Sends bytes as they are to `topic`, given without the prefix. They need not be a message of kser, and are not encrypted.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::InvalidTopic`] before anything is sent, [`Error::Backend`] when it may have been
    /// sent or not.
    pub async fn send_bytes(
        &self,
        topic: impl AsRef<str>,
        payload: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let shared = self.shared();
        let topic = shared.writer.routes.prefixed(&Topic::new(topic)?)?;
        let record = Record::new(topic, Some(payload.into()));
        let published = shared.publish(vec![record]).await;
        published.map_err(NotPublished::into_error)
    }

    /// Returns a future that launches an operation when it is awaited.
    pub fn launch<P: Entrypoint>(&self, params: P) -> Launch {
        let params = Object::new(&params).map_err(Error::from);
        Launch::operation(Arc::clone(&self.shared), P::PATH.into(), params)
    }

    /// Returns a future that launches an operation by its name, as [`launch`](Self::launch) does: for a program that does not have the
    /// type of its params.
    pub fn launch_named(&self, name: impl Into<Name>, params: Object) -> Launch {
        Launch::operation(Arc::clone(&self.shared), name.into(), Ok(params))
    }

    /// Returns a future that launches bare steps under a name when it is awaited. No operation of that name is needed.
    pub fn launch_steps(&self, name: impl Into<Name>, steps: Vec<Step>) -> Launch {
        Launch::steps(Arc::clone(&self.shared), name.into(), steps)
    }

    /// Reports the end of an external step to its run, given the message of the step.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the message is not that of an external step; otherwise as
    /// [`send_message`](Self::send_message).
    pub async fn report(&self, step: &Message, outcome: &Outcome) -> Result<(), Error> {
        let shared = self.shared();
        let envelope = step.metadata.envelope();
        let Some(reply) = envelope.and_then(|envelope| envelope.reply.clone()) else {
            return Err(Error::Invalid {
                what: format!("message {}", step.uuid),
                reason: "it is not that of an external step".to_owned(),
            });
        };
        let outcome = outcome.clone().with_uuid(step.uuid.clone());
        let record = shared.writer.report(reply, step, outcome)?;
        publish_one(shared, record, &STEP_ENDED.into(), &step.uuid).await
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }
}
