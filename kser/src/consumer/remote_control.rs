use std::sync::Arc;
use std::time::Duration;

use kser_core::presence::{Command, CommandVerb, PRESENCE_EVERY, PRESENCE_KEPT};
use kser_core::{Error, Timestamp, Topic};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::ConsumerHandle;
use super::announcer::id_of;
use super::processor::Processor;
use crate::presence::{KeptCommand, PresencePlace};

/// The longest look for a command to an earlier life of the consumer, before the consumer begins.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The longest removal of a command.
const REMOVAL: Duration = Duration::from_secs(5);

/// The interval in which a consumer that is paused writes the command again, so that it is not forgotten.
const RENEWED: Duration = Duration::from_secs(PRESENCE_KEPT.as_secs() / 4);

/// Obeys the commands of operators, on a task of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct RemoteControl(#[expect(dead_code, reason = "dropped at the end")] JoinSet<()>);

/// A consumer that obeys.
#[derive(Debug)]
struct Obedient {
    place: PresencePlace,
    handle: ConsumerHandle,
    processor: Arc<Processor>,
    id: String,
    started: Timestamp,
    /// The pause that is obeyed.
    pause: Option<KeptCommand>,
    /// The time and key of the latest command that was seen: earlier ones do not count.
    seen: (Timestamp, String),
    renewed: Instant,
}

impl RemoteControl {
    /// Starts to obey, if the consumer allows it. A named consumer looks for a command to its earlier life first, so that it is paused
    /// before it receives.
    pub(super) async fn start(
        processor: &Arc<Processor>,
        handle: &ConsumerHandle,
        topics: &[Topic],
        started: Timestamp,
    ) -> Self {
        let mut task = JoinSet::new();
        let options = &processor.options;
        let place = processor.shared.presence.as_ref();
        if let Some(place) = place.filter(|_| options.obeys && options.announces) {
            let mut obedient = Obedient {
                place: place.clone(),
                handle: handle.clone(),
                id: id_of(processor, topics),
                processor: Arc::clone(processor),
                started,
                pause: None,
                seen: (Timestamp::default(), String::new()),
                renewed: Instant::now(),
            };
            if options.instance.is_some()
                && let Ok(Ok(kept)) = timeout(FIRST_LOOK, place.commands()).await
            {
                obedient.obey(kept).await;
            }
            task.spawn(obedient.obey_all());
        }
        Self(task)
    }
}

impl Obedient {
    async fn obey_all(mut self) {
        let (mut reader, mut has_failed) = (self.place.follow(), false);
        loop {
            match reader.next().await {
                Ok(kept) => {
                    has_failed = false;
                    self.obey(kept).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        tell(&error);
                    }
                    sleep(PRESENCE_EVERY).await;
                }
            }
            self.end_late_pause();
            self.renew().await;
        }
    }

    /// Obeys the latest of the commands to this consumer, and removes the others.
    async fn obey(&mut self, kept: Vec<KeptCommand>) {
        let ours = kept
            .into_iter()
            .filter(|(_, command)| command.consumer == self.id);
        let mut ours: Vec<_> = ours
            .map(|(key, command)| ((command.at, key), command))
            .collect();
        ours.sort_by(|(one, _), (other, _)| one.cmp(other));
        let latest = ours.pop();
        for ((_, key), _) in ours {
            self.remove(&key).await;
        }
        let Some((place, command)) = latest else {
            return;
        };
        match place > self.seen {
            true => self.obey_one(place, command).await,
            false if self.pause.as_ref().is_none_or(|(key, _)| *key != place.1) => {
                self.remove(&place.1).await;
            }
            false => {}
        }
    }

    async fn obey_one(&mut self, place: (Timestamp, String), command: Command) {
        let key = place.1.clone();
        self.seen = place;
        let is_late = command.until <= self.processor.shared.clock.wall();
        match command.verb {
            CommandVerb::Pause if !is_late => {
                log("an operator pauses the consumer", &command);
                self.handle.paused().set_by_operator(Some(command.clone()));
                self.pause = Some((key, command));
                self.renewed = Instant::now();
                return self.handle.changed().notify_one();
            }
            CommandVerb::Pause | CommandVerb::Resume => {
                if self.pause.is_some() {
                    log("an operator ends the pause of the consumer", &command);
                }
                self.end_pause();
                self.remove(&key).await;
            }
            // Removed first: the next life of the consumer is not meant, and its start tells it from this one, too.
            CommandVerb::Drain => {
                self.remove(&key).await;
                if command.life == self.started && !is_late {
                    log("an operator drains the consumer", &command);
                    self.handle.request_stop();
                }
            }
            _ => self.remove(&key).await,
        }
        self.handle.changed().notify_one();
    }

    fn end_pause(&mut self) {
        self.pause = None;
        self.handle.paused().set_by_operator(None);
    }

    /// Ends a pause whose time is over. Its command is removed with the next one, or is forgotten.
    fn end_late_pause(&mut self) {
        let now = self.processor.shared.clock.wall();
        if let Some((_, command)) = self.pause.as_ref().filter(|(_, it)| it.until <= now) {
            log("the pause by an operator is over", command);
            self.end_pause();
            self.handle.changed().notify_one();
        }
    }

    /// Writes the command of the pause again before it is forgotten.
    async fn renew(&mut self) {
        let Some((key, command)) = &self.pause else {
            return;
        };
        if self.renewed.elapsed() < RENEWED {
            return;
        }
        if let Ok(text) = command.to_text() {
            let written = timeout(REMOVAL, self.place.store.announce(key, text)).await;
            if matches!(written, Ok(Ok(()))) {
                self.renewed = Instant::now();
            }
        }
    }

    /// Removes a command. One that stays is removed at a later look, and is forgotten in any case.
    async fn remove(&self, key: &str) {
        let _ = timeout(REMOVAL, self.place.store.withdraw(key)).await;
    }
}

fn tell(error: &Error) {
    let error = kser_core::log::report(error);
    tracing::warn!(target: "kser", error, "reading the commands of operators failed; the consumer works on, and tries again");
}

fn log(action: &str, command: &Command) {
    let [actor, reason] =
        [&command.actor, &command.reason].map(|text| kser_core::log::clean(text, 200));
    tracing::info!(target: "kser", %actor, %reason, until = %command.until, "{action}");
}
