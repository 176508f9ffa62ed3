//! The two threads that own the connections: the calls that write go to one of them, the calls that read to the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::schema::migrate;
use super::waiters::{Waiters, Wake};

/// The writes that go into one transaction at most, so that the first of them does not wait for long.
const LARGEST_GROUP: usize = 256;
/// The tries for a lock that another process holds: about 10 s, well below the lease of a run.
const TRIES: i32 = 5_000;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(2);
/// The size to which a checkpoint cuts the log, which may have grown beside a reader.
const LARGEST_IDLE_LOG: u32 = 16 << 20;
/// The prepared statements that a connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// A work on a connection, whose answer goes to its caller.
trait Job: Send {
    /// Works. A write is repeated after a rollback.
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error>;

    /// Answers, when the work is durable or has failed.
    fn finish(self: Box<Self>, outcome: Result<(), Failure>, waiters: &Waiters);
}

struct Work<T, F> {
    work: F,
    done: Option<(T, Wake)>,
    answer: oneshot::Sender<Result<T, Failure>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<(T, Wake), rusqlite::Error> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        self.done = Some((self.work)(connection)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), Failure>, waiters: &Waiters) {
        let answer = match (outcome, self.done) {
            (Ok(()), Some((value, wake))) => {
                waiters.wake(&wake);
                Ok(value)
            }
            (Ok(()), None) => Err(Failure::permanent("the work has not run")),
            (Err(failure), _) => Err(failure),
        };
        // The caller may have gone.
        let _ = self.answer.send(answer);
    }
}

/// The threads of an open database, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Database {
    writes: Sender<Box<dyn Job>>,
    reads: Sender<Box<dyn Job>>,
    pub(super) waiters: Arc<Waiters>,
}

impl Database {
    /// Opens a file, or makes it, and brings its tables up to date.
    pub(super) async fn open(path: PathBuf) -> Result<Self, Failure> {
        let waiters = Arc::<Waiters>::default();
        let writes = start(
            "kser-sqlite-write",
            path.clone(),
            Arc::clone(&waiters),
            write_all,
        )
        .await?;
        let reads = start("kser-sqlite-read", path, Arc::clone(&waiters), read_all).await?;
        Ok(Self {
            writes,
            reads,
            waiters,
        })
    }

    /// Writes, in one transaction with the other writes that wait. The write is done or not done if the future is dropped.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<(T, Wake), rusqlite::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        call(&self.writes, work).await
    }

    /// Reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        call(&self.reads, move |connection| {
            Ok((work(connection)?, Wake::default()))
        })
        .await
    }
}

async fn call<T: Send + 'static>(
    jobs: &Sender<Box<dyn Job>>,
    work: impl FnMut(&Connection) -> Result<(T, Wake), rusqlite::Error> + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    let job = Work {
        work,
        done: None,
        answer,
    };
    let sent = jobs.send(Box::new(job));
    sent.map_err(|_| ended())?;
    wait(answered).await.unwrap_or_else(|| Err(ended()))
}

fn ended() -> Failure {
    Failure::permanent("the thread of the database has ended")
}

/// Waits for an answer. A paused clock stands still meanwhile.
async fn wait<T: Send + 'static>(answered: oneshot::Receiver<T>) -> Option<T> {
    if is_paused()
        && let Ok(runtime) = Handle::try_current()
    {
        // While all tasks of a runtime wait, its paused clock jumps to the next timer, but not while a blocking call is under way.
        let waiting = runtime.spawn_blocking(|| answered.blocking_recv().ok());
        return waiting.await.ok().flatten();
    }
    answered.await.ok()
}

/// Says whether tokio's clock stands still: two readings of a clock that runs differ, sooner or later.
fn is_paused() -> bool {
    let now = Instant::now();
    (0..8).all(|_| Instant::now() == now)
}

/// Starts a thread that opens the file and works until all senders are dropped.
async fn start(
    name: &str,
    path: PathBuf,
    waiters: Arc<Waiters>,
    work: fn(&Connection, &Receiver<Box<dyn Job>>, &Waiters),
) -> Result<Sender<Box<dyn Job>>, Failure> {
    let (jobs, received) = channel();
    let (opened, is_open) = oneshot::channel();
    let run = move || match connect(&path) {
        Ok(connection) => {
            if opened.send(Ok(())).is_ok() {
                work(&connection, &received, &waiters);
            }
        }
        Err(failure) => drop(opened.send(Err(failure))),
    };
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map_err(|error| Failure::permanent(format!("cannot start a thread: {error}")))?;
    wait(is_open).await.unwrap_or_else(|| Err(ended()))?;
    Ok(jobs)
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Changing the mode of a file needs a lock for which SQLite does not wait.
    while_busy(|| connection.pragma_update(None, "journal_mode", "wal"))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", LARGEST_IDLE_LOG)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Waits for a lock that another connection holds. The steps are short, because a writer frees the lock for a short time only.
fn wait_for_lock(tries: i32) -> bool {
    thread::sleep(PAUSE);
    tries < TRIES
}

/// Repeats a call for which SQLite does not wait itself.
fn while_busy<T>(mut call: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    for _ in 0..TRIES {
        match call() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                thread::sleep(PAUSE)
            }
            done => return done,
        }
    }
    call()
}

fn read_all(connection: &Connection, jobs: &Receiver<Box<dyn Job>>, waiters: &Waiters) {
    while let Ok(mut job) = jobs.recv() {
        let outcome = job.run(connection).map_err(Failure::from);
        job.finish(outcome, waiters);
    }
}

fn write_all(connection: &Connection, jobs: &Receiver<Box<dyn Job>>, waiters: &Waiters) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(LARGEST_GROUP - 1));
        write_group(connection, group, waiters);
    }
}

/// Writes a group in one transaction. If a write of it fails, each is written in a transaction of its own, so that the error of
/// one is not that of another.
fn write_group(connection: &Connection, mut group: Vec<Box<dyn Job>>, waiters: &Waiters) {
    let mut outcome = begin(connection);
    if outcome.is_ok() {
        outcome = write(connection, &mut group);
        if outcome.is_err() && group.len() > 1 {
            for job in group {
                write_group(connection, vec![job], waiters);
            }
            return;
        }
    }
    for job in group {
        job.finish(outcome.clone(), waiters);
    }
}

fn begin(connection: &Connection) -> Result<(), Failure> {
    let begin = connection.prepare_cached("BEGIN IMMEDIATE");
    Ok(begin.and_then(|mut begin| begin.execute(())).map(drop)?)
}

fn write(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
    let written = group.iter_mut().try_for_each(|job| job.run(connection));
    let committed =
        written.and_then(|()| connection.prepare_cached("COMMIT")?.execute(()).map(drop));
    committed.map_err(|error| {
        // Some errors have rolled it back already.
        if !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        Failure::from(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PathBuf {
        let file = std::env::temp_dir().join(format!("kser-sql-{}-{name}.db", std::process::id()));
        remove(&file);
        file
    }

    fn remove(file: &Path) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", file.display()));
        }
    }

    /// A job that adds a row of so many bytes; an error in the middle of it if `fails`.
    fn job(bytes: usize, fails: bool) -> (Box<dyn Job>, oneshot::Receiver<Result<(), Failure>>) {
        let (answer, answered) = oneshot::channel();
        let work = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO kser_meta VALUES (hex(randomblob(8)), ?1)",
                [" ".repeat(bytes)],
            )?;
            if fails {
                connection.execute(
                    "INSERT INTO kser_meta VALUES ('store_id', 'a second one')",
                    (),
                )?;
            }
            Ok(((), Wake::default()))
        };
        let done = None;
        let job = Work { work, done, answer };
        (Box::new(job), answered)
    }

    fn write_all_of(connection: &Connection, jobs: &[(usize, bool)]) -> Vec<Result<(), Failure>> {
        let jobs = jobs.iter().map(|(bytes, fails)| job(*bytes, *fails));
        let (group, answers): (Vec<_>, Vec<_>) = jobs.unzip();
        write_group(connection, group, &Waiters::default());
        let answer = |mut answer: oneshot::Receiver<_>| answer.try_recv().unwrap();
        answers.into_iter().map(answer).collect()
    }

    fn rows(connection: &Connection) -> i64 {
        let sql = "SELECT count(*) FROM kser_meta WHERE name <> 'store_id'";
        connection.query_row(sql, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_error_of_one_write_is_not_that_of_another() {
        let file = file("group");
        let connection = connect(&file).unwrap();
        let answers = write_all_of(&connection, &[(1, false), (1, true), (1, false)]);
        let written: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(written, [true, false, true]);
        assert_eq!(
            rows(&connection),
            2,
            "the write that failed has left nothing"
        );
        remove(&file);
    }

    #[test]
    fn a_full_disk_is_an_error_that_may_pass() {
        let file = file("full");
        let connection = connect(&file).unwrap();
        let pages: i64 = connection
            .query_row("PRAGMA page_count", (), |row| row.get(0))
            .unwrap();
        let limit = |pages: i64| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(()))
        };
        limit(pages + 4).unwrap();
        let answers = write_all_of(&connection, &[(1, false), (1 << 20, false)]);
        assert!(answers[0].is_ok(), "{answers:?}");
        let full = kser_core::Error::from(answers[1].clone().unwrap_err());
        assert!(
            full.is_temporary() && full.report().contains("full"),
            "{}",
            full.report()
        );
        limit(1 << 20).unwrap();
        assert!(write_all_of(&connection, &[(1 << 20, false)])[0].is_ok());
        assert_eq!(rows(&connection), 2);
        remove(&file);
    }

    #[test]
    fn a_lock_that_another_program_holds_for_long_is_an_error_that_may_pass() {
        let file = file("lock");
        let connection = connect(&file).unwrap();
        let program = connect(&file).unwrap();
        program.execute_batch("BEGIN IMMEDIATE").unwrap();
        let answers = write_all_of(&connection, &[(1, false), (1, false)]);
        for answer in answers {
            let locked = kser_core::Error::from(answer.unwrap_err());
            assert!(
                locked.is_temporary() && locked.report().contains("locked"),
                "{}",
                locked.report()
            );
        }
        program.execute_batch("COMMIT").unwrap();
        assert!(write_all_of(&connection, &[(1, false)])[0].is_ok());
        remove(&file);
    }

    #[test]
    fn a_log_that_has_grown_beside_a_reader_is_cut() {
        let file = file("log");
        let connection = connect(&file).unwrap();
        let log = || {
            std::fs::metadata(format!("{}-wal", file.display()))
                .unwrap()
                .len()
        };
        let reader = connect(&file).unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM kser_meta")
            .unwrap();
        for _ in 0..3 {
            assert!(write_all_of(&connection, &[(8 << 20, false)])[0].is_ok());
        }
        assert!(log() > 20 << 20, "the reader keeps the log");
        reader.execute_batch("COMMIT").unwrap();
        for _ in 0..3 {
            assert!(write_all_of(&connection, &[(1, false)])[0].is_ok());
        }
        assert!(
            log() <= u64::from(LARGEST_IDLE_LOG),
            "{} bytes are left",
            log()
        );
        remove(&file);
    }
}
