//! The tables, and their migrations.

use std::sync::Arc;

use tokio::sync::Notify;

use super::config::PostgresConfig;
use super::failure::Failure;
use super::session::Session;

/// A change of the tables. It only adds columns and tables, so that programs of the version before go on where `oldest_reader` says so.
struct Migration {
    /// The version of the oldest program that may still work with the tables after it.
    oldest_reader: i64,
    statements: &'static str,
}

/// Texts of users are `bytea`: they may hold zero characters, and come back as they were in a database of any encoding.
///
/// `due_slot` is the due time in steps of 16 s. It changes with few of the writes of a run, so that most of them change no index:
/// PostgreSQL then keeps the new row on the page of the old one.
/// The columns `steps` and `updated` are those of the progress of version `noted`: a program that does not know them writes the others
/// only.
///
/// The column `outcomes` has the outcomes of the progress. It is null in a row that a program before the fourth migration has written
/// last, which has them in `progress`. Such a program would not find those of later rows, and is refused.
const MIGRATIONS: [Migration; 4] = [Migration {
    oldest_reader: 1,
    statements: "
    CREATE TABLE kser.meta (name text PRIMARY KEY, value text NOT NULL);
    INSERT INTO kser.meta VALUES ('store_id', 'postgres-' || replace(gen_random_uuid()::text, '-', ''));
    CREATE TABLE kser.instances (name bytea PRIMARY KEY, incarnation bigint NOT NULL);
    CREATE TABLE kser.runs (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id bytea NOT NULL UNIQUE,
        name bytea NOT NULL,
        topic text NOT NULL,
        digest text NOT NULL,
        created bigint NOT NULL,
        status text NOT NULL,
        position bigint NOT NULL,
        version bigint NOT NULL,
        stamp bigint NOT NULL,
        look_at bigint,
        due_slot bigint GENERATED ALWAYS AS (look_at >> 14) STORED,
        progress bytea NOT NULL
    ) WITH (fillfactor = 60);
    CREATE INDEX runs_due ON kser.runs (topic, due_slot) WHERE due_slot IS NOT NULL;
    CREATE INDEX runs_status ON kser.runs (status, number);
    CREATE INDEX runs_name ON kser.runs (name, status, number);
    CREATE TABLE kser.launches (run bigint PRIMARY KEY, message bytea NOT NULL);
    CREATE TABLE kser.steps (
        run bigint NOT NULL, position bigint NOT NULL, step bytea NOT NULL,
        PRIMARY KEY (run, position)
    );
    CREATE TABLE kser.attempts (
        run bigint NOT NULL, version bigint NOT NULL,
        position bigint NOT NULL, entrypoint bytea NOT NULL, attempt bigint NOT NULL,
        started bigint, ended bigint NOT NULL, worker bytea NOT NULL, status text NOT NULL, outcome bytea NOT NULL,
        intervention bytea,
        PRIMARY KEY (run, version)
    );
    CREATE TABLE kser.outputs (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL, version bigint NOT NULL, place bigint NOT NULL, due bigint NOT NULL,
        topic text NOT NULL, record_key bytea, headers bytea NOT NULL, payload bytea, not_before bigint
    );
    CREATE INDEX outputs_due ON kser.outputs (due, number);
    CREATE UNIQUE INDEX outputs_of_run ON kser.outputs (run, version, place);
    CREATE TABLE kser.tombstones (
        id bytea PRIMARY KEY, name bytea NOT NULL, digest text NOT NULL, status text NOT NULL, purged bigint NOT NULL
    );
    CREATE INDEX tombstones_purged ON kser.tombstones (purged);
    CREATE UNLOGGED TABLE kser.listeners (
        process bigint PRIMARY KEY, runs_until bigint NOT NULL, due_until bigint NOT NULL
    );
    ",
}, Migration {
    oldest_reader: 1,
    statements: "
    ALTER TABLE kser.runs ADD COLUMN steps bigint, ADD COLUMN updated bigint, ADD COLUMN noted bigint;
    CREATE INDEX runs_listed ON kser.runs (status, created, number);
    CREATE INDEX runs_named ON kser.runs (name, status, created, number);
    DROP INDEX kser.runs_status;
    DROP INDEX kser.runs_name;
    ",
}, Migration {
    oldest_reader: 1,
    // Unlogged, because consumers announce themselves again within seconds.
    statements: "
    CREATE UNLOGGED TABLE kser.consumers (
        id bytea PRIMARY KEY, written bigint NOT NULL, announcement bytea NOT NULL
    ) WITH (fillfactor = 50);
    ",
}, Migration {
    oldest_reader: 4,
    statements: "ALTER TABLE kser.runs ADD COLUMN outcomes bytea;",
}];

/// The questions whether the schema, and the table of migrations in it, are there. They read the catalog as other tables: the
/// functions of PostgreSQL that look names up may not see the work of the transaction for whose lock this one has waited.
const SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
const TABLE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations')";

/// Makes the tables, or brings them up to date. Of many programs that do so at once one does, and the others wait.
///
/// The lock is that of a transaction on a connection of its own, so that no failure leaves it behind.
pub(super) async fn migrate(config: &PostgresConfig) -> Result<(), Failure> {
    let (session, _) = Session::open(config, Arc::new(Notify::new())).await?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if applied(&session, &config.schema).await? >= newest {
        return Ok(());
    }
    session.batch("BEGIN").await?;
    session
        .query(
            "SELECT pg_advisory_xact_lock(hashtext('kser migrations'), hashtext($1))",
            &[&config.schema],
        )
        .await?;
    // Another program may have been first.
    let done = applied(&session, &config.schema).await?;
    if done == 0 && !exists(&session, SCHEMA, &config.schema).await? {
        // Needs a right that is not needed where the schema is there.
        session
            .batch(&format!("CREATE SCHEMA \"{}\"", config.schema))
            .await?;
    }
    let mut all = "CREATE TABLE IF NOT EXISTS kser.migrations (version bigint PRIMARY KEY, oldest_reader bigint NOT NULL);".to_owned();
    for (version, migration) in (1..)
        .zip(&MIGRATIONS)
        .filter(|(version, _)| *version > done)
    {
        let Migration {
            statements,
            oldest_reader,
        } = migration;
        all.push_str(statements);
        all.push_str(&format!(
            "INSERT INTO kser.migrations VALUES ({version}, {oldest_reader});"
        ));
    }
    session.batch(&in_schema(&all, &config.schema)).await?;
    session.batch("COMMIT").await
}

/// Puts the tables of statements, which are written with the schema `kser`, into another one.
pub(super) fn in_schema(statements: &str, schema: &str) -> String {
    statements.replace("kser.", &format!("\"{schema}\"."))
}

async fn exists(session: &Session, sql: &str, name: &str) -> Result<bool, Failure> {
    let rows = session.query(sql, &[&name]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Returns the version of the tables; 0 for none.
///
/// # Errors
///
/// When a later program has changed them so that this one may no longer work.
async fn applied(session: &Session, schema: &str) -> Result<i64, Failure> {
    if !exists(session, TABLE, schema).await? {
        return Ok(0);
    }
    let sql =
        "SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM kser.migrations";
    let rows = session.query(&in_schema(sql, schema), &[]).await?;
    let (version, oldest): (i64, i64) = rows
        .first()
        .map(|row| (row.get(0), row.get(1)))
        .unwrap_or_default();
    let ours = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match oldest > ours {
        true => Err(Failure::permanent(format!(
            "a later version of kser has changed the tables to version {version}, which needs a program of version {oldest}; this one is of version {ours}"
        ))),
        false => Ok(version),
    }
}
