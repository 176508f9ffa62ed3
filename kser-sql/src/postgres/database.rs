//! The connections of an open store, on a thread of their own, so that neither a handler that does not yield nor a runtime that
//! ends holds up a write.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kser_core::RunId;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::columns::Answer;
use super::config::PostgresConfig;
use super::failure::Failure;
use super::link::{Link, LinkSetup};
use super::queue::{Caller, Job, Queue, Write};
use super::reader::{Reader, Reads};
use super::reads::FoundRow;
use super::schema::migrate;
use super::snapshots::OldestSnapshot;
use super::statements::Statements;
use super::waiters::{Looker, Waiters};
use super::writer::Writer;

/// The groups of writes that are under way at most, each on a connection of its own. While one waits for the disk, the others
/// execute, and the server writes the commits of several to the disk at once.
const WRITERS: usize = 3;
/// The groups of reads of the states of runs that are under way at most, on one connection.
const READERS: usize = 2;
/// The time for which a call is tried again after the loss of a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connections of an open store, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Database {
    queue: Arc<Queue>,
    states: Arc<Reads>,
    reads: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) oldest_snapshot: Arc<OldestSnapshot>,
    /// Dropping it ends the thread.
    _open: oneshot::Sender<()>,
}

impl Database {
    /// Connects, and brings the tables up to date.
    pub(super) async fn open(config: PostgresConfig) -> Result<Self, Failure> {
        let (opened, is_open) = oneshot::channel();
        let (open, closed) = oneshot::channel::<()>();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let failure = Failure::permanent(format!("cannot make a runtime: {error}"));
                    return drop(opened.send(Err(failure)));
                }
            };
            runtime.block_on(async {
                let parts = start(config).await;
                let is_ok = parts.is_ok();
                if opened.send(parts).is_ok() && is_ok {
                    // An error says that the store was dropped.
                    let _ = closed.await;
                }
            });
        };
        let started = thread::Builder::new()
            .name("kser-postgres".to_owned())
            .spawn(run);
        started.map_err(|error| Failure::permanent(format!("cannot start a thread: {error}")))?;
        let parts = is_open
            .await
            .unwrap_or_else(|_| Err(Failure::permanent("the thread of the store has ended")));
        let (queue, states, reads, statements, waiters, oldest_snapshot) = parts?;
        Ok(Self {
            queue,
            states,
            reads,
            statements,
            waiters,
            oldest_snapshot,
            _open: open,
        })
    }

    /// Writes, together with the other writes that wait. The write is done or not done if the future is dropped.
    pub(super) async fn write<T>(
        &self,
        write: impl FnOnce(Caller<T>) -> Write,
    ) -> Result<T, Failure> {
        let (caller, answer) = oneshot::channel();
        self.queue.push(Job {
            write: write(caller),
            deadline: Instant::now() + PATIENCE,
            alone: false,
        });
        answer
            .await
            .unwrap_or_else(|_| Err(Failure::permanent("the thread of the store has ended")))
    }

    /// Reads the state of a run, together with the other such reads that wait.
    pub(super) async fn found(&self, run: &RunId) -> Result<Answer<FoundRow>, Failure> {
        self.states.found(run, Instant::now() + PATIENCE).await
    }

    /// Reads. After the loss of a connection it reads again.
    pub(super) async fn read(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let session = self.reads.session(deadline).await?;
            match session.query(sql, values).await {
                Err(failure) if failure.is_lost() && Instant::now() < deadline => {
                    // The loss is noted in a moment.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                done => return done,
            }
        }
    }
}

type Parts = (
    Arc<Queue>,
    Arc<Reads>,
    Link,
    Arc<Statements>,
    Arc<Waiters>,
    Arc<OldestSnapshot>,
);

/// Makes the connections, and starts the tasks that use them.
async fn start(config: PostgresConfig) -> Result<Parts, Failure> {
    migrate(&config).await?;
    let (queue, waiters) = (Arc::<Queue>::default(), Arc::<Waiters>::default());
    let statements = Arc::new(Statements::new(&config.schema));
    let channel = format!("kser_{}", config.schema);
    let process = RandomState::new().hash_one(0_u8).cast_signed();
    let link = |prepare: Vec<String>, begin: String, notified: &Arc<Notify>| {
        Link::open(LinkSetup {
            config: config.clone(),
            begin,
            prepare,
            notified: Arc::clone(notified),
        })
    };
    let quiet = Arc::new(Notify::new());
    let usual = statements.usual();
    for _ in 0..WRITERS {
        let writer = Writer {
            queue: Arc::clone(&queue),
            link: link(usual.clone(), String::new(), &quiet).await?,
            statements: Arc::clone(&statements),
            waiters: Arc::clone(&waiters),
            channel: channel.clone(),
            process,
        };
        tokio::spawn(writer.run());
    }
    let reads = link(
        vec![statements.found.clone(), statements.step.clone()],
        String::new(),
        &quiet,
    )
    .await?;
    let states = Arc::<Reads>::default();
    for _ in 0..READERS {
        let reader = Reader {
            reads: Arc::clone(&states),
            link: reads.clone(),
            statements: Arc::clone(&statements),
        };
        tokio::spawn(reader.run());
    }
    let notified = Arc::new(Notify::new());
    let looker = Looker {
        waiters: Arc::clone(&waiters),
        link: link(Vec::new(), format!("LISTEN \"{channel}\""), &notified).await?,
        statements: Arc::clone(&statements),
        notified,
        process,
    };
    tokio::spawn(looker.run());
    let oldest_snapshot = Arc::<OldestSnapshot>::default();
    let keep = Arc::clone(&oldest_snapshot).keep(reads.clone(), Arc::clone(&statements));
    tokio::spawn(keep);
    Ok((queue, states, reads, statements, waiters, oldest_snapshot))
}
