//! The speed, and the pages of lists, with few and with very many rows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kser_core::store::RunFilter;
use kser_core::{StateStore, Status};
use kser_sql::{SqliteStore, rusqlite};
use tokio::time::Instant;

use crate::{Settings, open, operations, print, server};

/// The columns of the rows that are made, as both databases have them.
const COLUMNS: &str = "id, name, topic, digest, created, status, position, version, stamp, look_at, progress, steps, updated, noted";

/// Compares PostgreSQL, and SQLite, with 1,000 rows and with 1,010,000.
pub(crate) async fn rows(settings: &Settings, file: &Path) {
    let (server, url) = server();
    let store = open(&url).await;
    let fill = |runs: u32, status: Status| {
        server.execute(&format!(
            "WITH made AS (
                 INSERT INTO kser.runs ({COLUMNS})
                 SELECT convert_to('{status}' || n, 'UTF8'), convert_to('shop.Old', 'UTF8'), 'old', 'd', 1700000000000 + n, '{status}', 4, 8, n,
                     CASE WHEN '{status}' = 'RUNNING' THEN 4000000000000 + n END, (SELECT progress FROM kser.runs LIMIT 1),
                     3, 1700000000000 + n, 8
                 FROM generate_series(1, {runs}) AS n RETURNING number
             ) INSERT INTO kser.launches SELECT number, 'launch' FROM made"
        ));
    };
    // The pages of the fill are written now, not during the measurement.
    let vacuum = || {
        server.execute("VACUUM ANALYZE");
        server.execute("CHECKPOINT");
    };
    compare(settings, "postgres", store, fill, vacuum).await;

    let store = SqliteStore::open(file).await;
    let store = Arc::new(store.expect("the file can be opened"));
    let fill = |runs: u32, status: Status| {
        let tables = rusqlite::Connection::open(file).expect("the file can be opened");
        let first: i64 = tables
            .query_row("SELECT max(number) FROM kser_runs", (), |row| row.get(0))
            .expect("there are runs");
        let filled = tables.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE made (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM made WHERE n < {runs})
             INSERT INTO kser_runs ({COLUMNS})
             SELECT '{status}' || n, 'shop.Old', 'old', 'd', 1700000000000 + n, '{status}', 4, 8, n,
                 CASE WHEN '{status}' = 'RUNNING' THEN 4000000000000 + n END, (SELECT progress FROM kser_runs LIMIT 1),
                 3, 1700000000000 + n, 8
             FROM made;
             INSERT INTO kser_launches SELECT number, CAST('launch' AS BLOB) FROM kser_runs WHERE number > {first} AND topic = 'old';
             COMMIT"
        ));
        filled.expect("the tables are filled");
    };
    compare(settings, "sqlite", store, fill, || ()).await;
}

async fn compare(
    settings: &Settings,
    name: &str,
    store: Arc<dyn StateStore>,
    fill: impl Fn(u32, Status),
    vacuum: impl Fn(),
) {
    operations(Arc::clone(&store), 64, Duration::from_secs(1)).await;
    fill(1_000, Status::Cancelled);
    measure(settings, &format!("{name}, 1,000 rows"), &store).await;
    fill(1_000_000, Status::Success);
    fill(10_000, Status::Running);
    vacuum();
    measure(
        settings,
        &format!("{name}, 1,000,000 finished and 10,000 running rows"),
        &store,
    )
    .await;
}

async fn measure(settings: &Settings, what: &str, store: &Arc<dyn StateStore>) {
    let filters = [
        ("by time", RunFilter::default()),
        (
            "by status",
            RunFilter::default().with_status(Status::Running),
        ),
        (
            "by the status of most",
            RunFilter::default().with_status(Status::Success),
        ),
        ("by operation", RunFilter::default().with_name("shop.Order")),
        (
            "by the operation of most",
            RunFilter::default().with_name("shop.Old"),
        ),
    ];
    for (name, filter) in filters {
        // The second page: the place of a cursor is looked up, too.
        let first = store.list(&filter).await.expect("a page");
        let second = filter.clone().with_after(first.next);
        let page = settings.figures(async || {
            let began = Instant::now();
            store.list(&second).await.expect("a page");
            began.elapsed().as_secs_f64() * 1000.0
        });
        print(&format!("{what}, a page {name}"), "ms", 2, &page.await);
        let count = settings.figures(async || {
            let began = Instant::now();
            store.count(&filter, 1_001).await.expect("a count");
            began.elapsed().as_secs_f64() * 1000.0
        });
        print(&format!("{what}, a count {name}"), "ms", 2, &count.await);
    }
    let rate = settings.figures(async || operations(Arc::clone(store), 64, settings.length).await);
    print(
        &format!("{what}, 64 in flight"),
        "steps a second",
        0,
        &rate.await,
    );
}
