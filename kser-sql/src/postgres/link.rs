//! Keeps a connection open: another one is made after its loss.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::config::PostgresConfig;
use super::failure::Failure;
use super::session::Session;

/// The pause before a new connection is made, which doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The state of a connection that is kept open.
#[derive(Debug, Clone)]
enum State {
    Open(Arc<Session>),
    Lost(Failure),
}

/// A connection that is kept open. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Link(watch::Receiver<State>);

impl Link {
    /// Connects, and lets a task keep the connection. `prepare` is prepared, and `begin` executed, on each connection.
    ///
    /// # Errors
    ///
    /// When the first connection is not made.
    pub(super) async fn open(setup: LinkSetup) -> Result<Self, Failure> {
        let (session, ended) = setup.connect().await?;
        let (states, state) = watch::channel(State::Open(session));
        tokio::spawn(setup.keep(states, ended));
        Ok(Self(state))
    }

    /// Returns the connection, once there is one.
    ///
    /// # Errors
    ///
    /// The reason for the loss, when there is none until `deadline`.
    pub(super) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let mut states = self.0.clone();
        loop {
            let last = match states.borrow_and_update().clone() {
                State::Open(session) => return Ok(session),
                State::Lost(failure) => failure,
            };
            match timeout_at(deadline, states.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Failure::permanent("the store is closed")),
                // It was there before, so that any reason may pass.
                Err(_) => return Err(Failure::lost(last.to_string())),
            }
        }
    }
}

/// The settings by which a connection is made again.
#[derive(Debug)]
pub(super) struct LinkSetup {
    pub(super) config: PostgresConfig,
    /// The statements to be executed first.
    pub(super) begin: String,
    /// The statements to be prepared first.
    pub(super) prepare: Vec<String>,
    /// Woken by each notification, and by each new connection, since notifications may be lost before it.
    pub(super) notified: Arc<Notify>,
}

impl LinkSetup {
    async fn connect(&self) -> Result<(Arc<Session>, super::session::Ended), Failure> {
        let (session, ended) = Session::open(&self.config, Arc::clone(&self.notified)).await?;
        session.batch(&self.begin).await?;
        for sql in &self.prepare {
            session.prepare(sql).await?;
        }
        self.notified.notify_one();
        Ok((Arc::new(session), ended))
    }

    /// Connects again and again, until no user of the connection is left.
    async fn keep(self, states: watch::Sender<State>, mut ended: super::session::Ended) {
        loop {
            let failure = tokio::select! {
                failure = &mut ended => failure.unwrap_or_else(|_| Failure::lost("the connection was given up")),
                () = states.closed() => return,
            };
            tracing::warn!(target: "kser", error = %failure, "connection to PostgreSQL lost; connecting again");
            states.send_replace(State::Lost(failure));
            let mut pause = FIRST_PAUSE;
            ended = loop {
                sleep(pause).await;
                if states.is_closed() {
                    return;
                }
                match self.connect().await {
                    Ok((session, ended)) => {
                        states.send_replace(State::Open(session));
                        break ended;
                    }
                    Err(failure) => {
                        tracing::debug!(target: "kser", error = %failure, "connection to PostgreSQL failed; trying again");
                        states.send_replace(State::Lost(failure));
                    }
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            };
            tracing::info!(target: "kser", "connected to PostgreSQL again");
        }
    }
}
