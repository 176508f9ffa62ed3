use std::time::Duration;

use kser::Error;
use kser::presence::{AnnouncedConsumer, Command, CommandVerb, PresentState};
use kser::run::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::consumer_line::ConsumerLine;
use crate::error::OpsError;
use crate::ops::Ops;

/// The pause between two looks at whether a command is obeyed.
const LOOK: Duration = Duration::from_millis(500);

/// The time after which no consumer obeys a drain.
const DRAIN: Duration = Duration::from_secs(60);

/// An act on consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
#[non_exhaustive]
pub enum ConsumerVerb {
    /// Takes no new deliveries for a time. The consumer keeps its partitions.
    Pause {
        /// The length of the pause.
        #[serde(serialize_with = "crate::json::span", rename = "for_seconds")]
        length: Duration,
    },
    /// Ends a pause before its time.
    Resume,
    /// Shuts the consumer down gracefully.
    Drain,
}

/// The result of an act on consumers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsumerReport {
    /// The act.
    pub act: ConsumerVerb,
    /// The consumers that were told, by their ids.
    pub consumers: Vec<CommandedConsumer>,
}

/// A consumer that was told a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommandedConsumer {
    /// The id of the consumer.
    pub id: String,
    /// Whether the consumer was seen to obey. One that is silent may do so later.
    pub obeyed: bool,
    #[serde(skip)]
    at: Timestamp,
}

impl ConsumerReport {
    /// Says whether all consumers were seen to obey.
    #[must_use]
    pub fn is_obeyed(&self) -> bool {
        self.consumers.iter().all(|told| told.obeyed)
    }
}

impl Ops {
    /// Tells the consumers with this id or name, and waits until they are seen to obey, at most for `wait`. `actor` and `reason` are shown
    /// with the consumer while it is paused.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when none has announced itself, [`OpsError::Refused`] when one of them does not allow it; none is told then.
    /// Otherwise as [`consumers`](Self::consumers).
    pub async fn act_on_consumers(
        &self,
        name: &str,
        act: ConsumerVerb,
        by: (&str, &str),
        wait: Duration,
    ) -> Result<ConsumerReport, OpsError> {
        let mut found = self.consumers().await?;
        found.retain(|consumer| ConsumerLine::new(consumer).is_called(name));
        if found.is_empty() {
            return Err(OpsError::NotFound {
                what: format!("no consumer {name} has announced itself"),
            });
        }
        if let Some(refusing) = found.iter().find(|it| !it.presence.remote_control) {
            let id = &refusing.presence.id;
            return Err(OpsError::Refused {
                reason: format!(
                    "{id} obeys no operator: its program allows it by Consumer::with_remote_control"
                ),
            });
        }
        let mut report = ConsumerReport {
            act,
            consumers: Vec::new(),
        };
        for consumer in &found {
            let command = self.tell(consumer, act, by).await?;
            report.consumers.push(CommandedConsumer {
                id: command.consumer,
                obeyed: false,
                at: command.at,
            });
        }
        let began = Instant::now();
        loop {
            let all = self.consumers().await?;
            for told in &mut report.consumers {
                let now = all.iter().find(|it| it.presence.id == told.id);
                told.obeyed = is_obeyed(act, told.at, now);
            }
            if report.is_obeyed() || began.elapsed() >= wait {
                return Ok(report);
            }
            sleep(LOOK).await;
        }
    }

    async fn tell(
        &self,
        consumer: &AnnouncedConsumer,
        act: ConsumerVerb,
        by: (&str, &str),
    ) -> Result<Command, Error> {
        let (verb, length) = match act {
            ConsumerVerb::Pause { length } => (CommandVerb::Pause, length),
            ConsumerVerb::Resume => (CommandVerb::Resume, DRAIN),
            ConsumerVerb::Drain => (CommandVerb::Drain, DRAIN),
        };
        let until = self.now() + length;
        let client = &self.client;
        client
            .command_consumer(&consumer.presence, verb, by, until)
            .await
    }
}

/// Says whether a consumer is seen to obey a command that was given at a time; `None` for one that announces itself no more.
fn is_obeyed(act: ConsumerVerb, at: Timestamp, now: Option<&AnnouncedConsumer>) -> bool {
    let Some(consumer) = now else {
        return act == ConsumerVerb::Drain;
    };
    let presence = &consumer.presence;
    match act {
        ConsumerVerb::Pause { .. } => presence.paused_by.as_ref().is_some_and(|by| by.at >= at),
        ConsumerVerb::Resume => presence.paused_by.is_none() && !consumer.is_silent,
        ConsumerVerb::Drain => presence.state == PresentState::Stopping,
    }
}
