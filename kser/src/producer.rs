use bytes::Bytes;
use kser_core::log::LogOptions;
use kser_core::{
    Entrypoint, Error, Message, Name, NotPublished, Object, Outcome, Record, Step, TaskError,
    TaskId, Topic,
};

use crate::connection::Shared;
use crate::consumer::STEP_ENDED;
use crate::send_many::send_many;
use crate::{Connection, Launch, SendTask};

/// Sends messages and launches operations. Cloning is cheap.
///
/// ```
/// # use kser::Entrypoint;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Greet { name: String }
/// impl Entrypoint for Greet { const PATH: &'static str = "hall.Greet"; }
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
    connection: Connection,
}

impl Producer {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Sends a task, when what is returned is awaited. Nobody waits for its end.
    pub fn send<P: Entrypoint>(&self, params: P) -> SendTask {
        SendTask::new(
            self.connection.clone(),
            P::PATH.into(),
            Object::new(&params).map_err(Error::from),
        )
    }

    /// Sends many at once, and says of each what became of it, in order: what awaiting it alone would have said.
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
    /// [`Error::TooLarge`] and [`Error::InvalidTopic`] before anything is sent, [`Error::MaybeSent`] when nobody knows
    /// whether it was.
    pub async fn send_message(
        &self,
        message: &Message,
        topic: Option<&str>,
    ) -> Result<TaskId, Error> {
        let shared = self.shared();
        let topic = match topic {
            Some(topic) => shared.post.routes.prefixed(&Topic::new(topic)?)?,
            None => shared.topic_of(&message.entrypoint)?,
        };
        let record = Record::new(topic, Some(shared.post.sized(message)?));
        publish_one(shared, record, &message.entrypoint, &message.uuid).await?;
        Ok(message.uuid.clone())
    }

    /// Sends bytes as they are to `topic`, given without the prefix: what others wrote, whether it is a message or not.
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
        let topic = shared.post.routes.prefixed(&Topic::new(topic)?)?;
        let record = Record::new(topic, Some(payload.into()));
        let published = shared.publish(vec![record]).await;
        published.map_err(NotPublished::into_error)
    }

    /// Launches an operation, when what is returned is awaited.
    pub fn launch<P: Entrypoint>(&self, params: P) -> Launch {
        let params = Object::new(&params).map_err(Error::from);
        Launch::operation(self.connection.clone(), P::PATH.into(), params)
    }

    /// Launches bare steps under a name, when what is returned is awaited. No operation of that name is needed.
    pub fn launch_steps(&self, name: impl Into<Name>, steps: Vec<Step>) -> Launch {
        Launch::steps(self.connection.clone(), name.into(), steps)
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
        let Some((envelope, reply)) = envelope.and_then(|e| Some((e, e.reply.clone()?))) else {
            return Err(Error::Invalid {
                what: format!("message {}", step.uuid),
                reason: "it is not that of an external step".to_owned(),
            });
        };
        let mut report = Message::new(step.uuid.clone(), STEP_ENDED.into(), Object::default());
        report.result = outcome.clone().with_uuid(step.uuid.clone());
        report.metadata = step.metadata.clone();
        let record = Record::new(reply, Some(shared.post.sized(&report)?));
        let record = record.with_key(envelope.run.to_string());
        publish_one(shared, record, &report.entrypoint, &report.uuid).await
    }

    fn shared(&self) -> &Shared {
        self.connection.shared()
    }
}

/// Publishes one record, and logs what became of it.
pub(crate) async fn publish_one(
    shared: &Shared,
    record: Record,
    entrypoint: &Name,
    uuid: &TaskId,
) -> Result<(), Error> {
    let topic = record.topic.clone();
    let published = shared.publish(vec![record]).await;
    let published = published.map_err(|failed| unknown(failed.into_error(), uuid));
    logged(&published, Some(&topic), entrypoint, uuid);
    published
}

/// Says whether someone reads what is sent.
pub(crate) fn is_told() -> bool {
    tracing::enabled!(target: "kser", tracing::Level::INFO)
}

/// `Producer.Success: dice.DiceRoll[872c…]: Message dice.DiceRoll[872c…] sent in dice`, or `Producer.Failed: …`.
pub(crate) fn logged(
    published: &Result<(), Error>,
    topic: Option<&Topic>,
    entrypoint: &Name,
    uuid: &TaskId,
) {
    let longest = LogOptions::default().longest();
    match (published, topic) {
        (Ok(()), Some(topic)) if is_told() => {
            let text = format!("Message {entrypoint}[{uuid}] sent in {topic}");
            let outcome = Outcome::text(text);
            kser_core::log::success("Producer", entrypoint, uuid, &outcome, longest);
        }
        (Ok(()), _) => {}
        (Err(error), _) => {
            let outcome = Outcome::from(&TaskError::internal(error.report()));
            kser_core::log::failed("Producer", entrypoint, uuid, &outcome, longest);
        }
    }
}

/// An error of publishing: what is not certainly refused may have been sent.
pub(crate) fn unknown(error: Error, id: &TaskId) -> Error {
    match is_refusal(&error) {
        true => error,
        false => Error::MaybeSent {
            id: id.clone().into(),
            source: error.into(),
        },
    }
}

/// Says whether it is certain that nothing was published.
pub(crate) const fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLarge { .. }
            | Error::TooLargeForTopic { .. }
            | Error::MissingTopic { .. }
            | Error::InvalidTopic { .. }
            | Error::Unsupported { .. }
    )
}
