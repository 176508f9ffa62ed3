use std::sync::Arc;

use kser_core::presence::{Announced, Command, PRESENCE_EVERY, PRESENCE_KEPT, PresenceStore};
use kser_core::{Error, Timestamp};
use tokio::time::sleep;

use super::PresencePlace;
use super::topic::{Follower, TopicPresence};

/// A command with the key under which it is kept.
pub(crate) type KeptCommand = (String, Command);

impl PresencePlace {
    /// Lists the commands that were given, or written again, within [`PRESENCE_KEPT`].
    pub(crate) async fn commands(&self) -> Result<Vec<KeptCommand>, Error> {
        let listed = self.store.list_consumers(PRESENCE_KEPT).await?;
        Ok(listed.into_iter().filter_map(read).collect())
    }

    /// Writes a command. It counts as later than those that were given to the consumer before, whatever the clocks of the operators.
    pub(crate) async fn command(
        &self,
        mut command: Command,
        nonce: &str,
    ) -> Result<Command, Error> {
        let all = self.commands().await?;
        let before = all
            .iter()
            .filter(|(_, other)| other.consumer == command.consumer);
        if let Some(latest) = before.map(|(_, other)| other.at).max() {
            let next = Timestamp::from_millis(latest.as_millis().saturating_add(1));
            command.at = command.at.max(next);
        }
        self.store
            .announce(&command.key(nonce), command.to_text()?)
            .await?;
        Ok(command)
    }

    /// Follows the commands.
    pub(crate) fn follow(&self) -> CommandReader {
        match &self.as_topic {
            Some(topic) => CommandReader::Topic(Arc::clone(topic), None),
            None => CommandReader::Store(Arc::clone(&self.store)),
        }
    }
}

/// Reads the commands again and again: from a store as often as consumers announce themselves, from a topic as they come.
#[derive(Debug)]
pub(crate) enum CommandReader {
    Store(Arc<dyn PresenceStore>),
    Topic(Arc<TopicPresence>, Option<Follower>),
}

impl CommandReader {
    /// Waits for changes, at most for the interval of announcements, and returns the commands that are kept.
    pub(crate) async fn next(&mut self) -> Result<Vec<KeptCommand>, Error> {
        let kept = match self {
            Self::Store(store) => {
                sleep(PRESENCE_EVERY).await;
                store.list_consumers(PRESENCE_KEPT).await?
            }
            Self::Topic(topic, open) => {
                let mut follower = match open.take() {
                    Some(follower) => follower,
                    None => topic.follow(Command::is_key).await?,
                };
                let changed = follower.next(PRESENCE_EVERY).await;
                match changed {
                    Ok(kept) => {
                        *open = Some(follower);
                        kept
                    }
                    Err(error) => {
                        follower.close().await;
                        return Err(error);
                    }
                }
            }
        };
        Ok(kept.into_iter().filter_map(read).collect())
    }
}

/// Reads a command; `None` for an announcement, and for a text that is none.
fn read(kept: Announced) -> Option<KeptCommand> {
    if !Command::is_key(&kept.consumer) {
        return None;
    }
    match Command::parse(&kept.text) {
        Ok(command) => Some((kept.consumer, command)),
        Err(error) => {
            let key = kser_core::log::clean(&kept.consumer, 200);
            tracing::warn!(target: "kser", %key, %error, "reading a command to a consumer failed; it is left out");
            None
        }
    }
}
