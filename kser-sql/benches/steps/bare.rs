//! Bare clients that write two swaps a step, in groups: as little as a store of steps can do. The one of PostgreSQL has two
//! connections, that of SQLite the one that may write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::NoTls;

/// A swap of a run to its next version, and whether it has an attempt.
struct Swap {
    run: i64,
    version: i64,
    ends: bool,
    done: oneshot::Sender<()>,
}

const TABLES: &str = "
    DROP SCHEMA IF EXISTS bare CASCADE;
    CREATE SCHEMA bare;
    CREATE TABLE bare.runs (id bytea PRIMARY KEY, number bigint NOT NULL, status text NOT NULL, version bigint NOT NULL, progress bytea NOT NULL)
        WITH (fillfactor = 60);
    CREATE TABLE bare.attempts (run bigint, version bigint, outcome bytea NOT NULL, PRIMARY KEY (run, version));
";

const SWAP: &str = "
    WITH written AS (
        UPDATE bare.runs r SET status = s.status, version = s.version + 1, progress = s.progress
        FROM unnest($1::bytea[], $2::int8[], $3::text[], $4::bytea[], $5::bytea[]) AS s(id, version, status, progress, outcome)
        WHERE r.id = s.id AND r.version = s.version RETURNING r.id, r.number, r.version, s.outcome
    ), attempted AS (
        INSERT INTO bare.attempts SELECT number, version, outcome FROM written WHERE outcome IS NOT NULL
    )
    SELECT id FROM written";

const SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off \
    -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

const SQLITE_TABLES: &str = "
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = full;
    CREATE TABLE bare_runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, version INTEGER NOT NULL, progress TEXT NOT NULL) STRICT;
    CREATE TABLE bare_attempts (run INTEGER, version INTEGER, outcome TEXT NOT NULL, PRIMARY KEY (run, version)) STRICT, WITHOUT ROWID;
";

/// Returns the steps a second with so many runs at a time, on PostgreSQL.
pub(crate) async fn postgres(url: &str, in_flight: usize, length: Duration) -> f64 {
    let (swaps, waiting) = mpsc::unbounded_channel::<Swap>();
    let waiting = Arc::new(Mutex::new(waiting));
    let (ready, is_ready) = oneshot::channel();
    let url = url.to_owned();
    // The connections are on a thread of their own, as those of the store.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime")
            .block_on(write_tables(url, waiting, in_flight, ready));
    });
    is_ready.await.expect("the tables are there");
    drive(&swaps, in_flight, length).await
}

/// Returns the steps a second with so many runs at a time, in a new file of SQLite.
pub(crate) async fn sqlite(file: &Path, in_flight: usize, length: Duration) -> f64 {
    let (swaps, waiting) = mpsc::unbounded_channel::<Swap>();
    let connection = Connection::open(file).expect("the file can be opened");
    connection
        .execute_batch(SQLITE_TABLES)
        .expect("the tables are new");
    for run in 0..in_flight as i64 {
        let values = (run, format!("run {run}"));
        connection
            .execute(
                "INSERT INTO bare_runs VALUES (?1, ?2, 'RUNNING', 0, '')",
                values,
            )
            .expect("a run");
    }
    let writer = std::thread::spawn(move || write_file(&connection, waiting));
    let rate = drive(&swaps, in_flight, length).await;
    drop(swaps);
    writer.join().expect("it has written all");
    rate
}

fn write_file(connection: &Connection, mut waiting: mpsc::UnboundedReceiver<Swap>) {
    let (progress, outcome) = ("p".repeat(420), "o".repeat(60));
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < 256
            && let Ok(swap) = waiting.try_recv()
        {
            group.push(swap);
        }
        let written = write_group(connection, &group, (&progress, &outcome));
        written.expect("all are written");
        for swap in group {
            let _ = swap.done.send(());
        }
    }
}

fn write_group(
    connection: &Connection,
    group: &[Swap],
    (progress, outcome): (&str, &str),
) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    for swap in group {
        let mut update = connection.prepare_cached(
            "UPDATE bare_runs SET status = 'RUNNING', version = ?1, progress = ?2 WHERE id = ?3 AND version = ?4",
        )?;
        let id = format!("run {}", swap.run);
        let next = swap.version + 1;
        assert_eq!(update.execute((next, progress, id, swap.version))?, 1);
        if swap.ends {
            connection
                .prepare_cached("INSERT INTO bare_attempts VALUES (?1, ?2, ?3)")?
                .execute((swap.run, next, outcome))?;
        }
    }
    connection.prepare_cached("COMMIT")?.execute(())?;
    Ok(())
}

/// Swaps so many runs at a time for a while, and returns the steps a second.
async fn drive(swaps: &mpsc::UnboundedSender<Swap>, in_flight: usize, length: Duration) -> f64 {
    let steps = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for run in 0..in_flight as i64 {
        let (swaps, steps) = (swaps.clone(), Arc::clone(&steps));
        loops.spawn(async move {
            let mut version = 0;
            while began.elapsed() < length {
                for ends in [false, true] {
                    let (done, is_done) = oneshot::channel();
                    let swap = Swap {
                        run,
                        version,
                        ends,
                        done,
                    };
                    swaps.send(swap).expect("the thread takes it");
                    is_done.await.expect("it is written");
                    version += 1;
                }
                steps.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while loops.join_next().await.is_some() {}
    steps.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn write_tables(
    url: String,
    waiting: Arc<Mutex<mpsc::UnboundedReceiver<Swap>>>,
    runs: usize,
    ready: oneshot::Sender<()>,
) {
    let mut writers = JoinSet::new();
    let mut ready = Some(ready);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut config: tokio_postgres::Config = url.parse().expect("a URL");
        config.options(SETTINGS);
        let (client, connection) = config.connect(NoTls).await.expect("the server runs");
        tokio::spawn(connection);
        clients.push(client);
    }
    clients[0].batch_execute(TABLES).await.expect("tables");
    let fill = format!(
        "INSERT INTO bare.runs SELECT convert_to('run ' || n, 'UTF8'), n, 'RUNNING', 0, '' FROM generate_series(0, {runs}) AS n"
    );
    clients[0].batch_execute(&fill).await.expect("runs");
    for client in clients {
        let waiting = Arc::clone(&waiting);
        let swap = client.prepare(SWAP).await.expect("a statement");
        writers.spawn(async move {
            let (progress, outcome) = (vec![b'p'; 420], vec![b'o'; 60]);
            loop {
                let mut group = Vec::new();
                if waiting.lock().await.recv_many(&mut group, 256).await == 0 {
                    return;
                }
                group.sort_by_key(|swap| swap.run);
                let ids: Vec<Vec<u8>> = group
                    .iter()
                    .map(|swap| format!("run {}", swap.run).into_bytes())
                    .collect();
                let versions: Vec<i64> = group.iter().map(|swap| swap.version).collect();
                let statuses: Vec<&str> = group.iter().map(|_| "RUNNING").collect();
                let progress: Vec<&[u8]> = group.iter().map(|_| &progress[..]).collect();
                let outcomes: Vec<Option<&[u8]>> = group
                    .iter()
                    .map(|swap| swap.ends.then_some(&outcome[..]))
                    .collect();
                let rows = client
                    .query(&swap, &[&ids, &versions, &statuses, &progress, &outcomes])
                    .await;
                assert_eq!(
                    rows.expect("an answer").len(),
                    group.len(),
                    "all are written"
                );
                for swap in group {
                    let _ = swap.done.send(());
                }
            }
        });
    }
    let _ = ready.take().map(|ready| ready.send(()));
    while writers.join_next().await.is_some() {}
}
