//! The tables, and their migrations.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::failure::Failure;

/// The oldest SQLite whose statements these are, as `sqlite3_libversion_number` tells it: 3.37.
const OLDEST: i32 = 3_037_000;

/// A change of the tables. It only adds columns and tables, so that programs of the version before go on where `oldest_reader` says so.
struct Migration {
    /// The version of the oldest program that may still work with the tables after it.
    oldest_reader: i64,
    statements: &'static str,
}

/// The columns `steps` and `updated` are those of the progress of version `noted`: a program that does not know them writes the others
/// only.
///
/// The table `kser_outcomes` has the outcomes of the progress, since SQLite writes a row anew whose other columns change. It has none
/// for a run that a program before the fourth migration has written last, which has them in `progress`. Such a program would not find
/// those of later runs, and is refused.
const MIGRATIONS: [Migration; 4] = [Migration {
    oldest_reader: 1,
    statements: "
    CREATE TABLE kser_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO kser_meta VALUES ('store_id', 'sqlite-' || lower(hex(randomblob(16))));
    CREATE TABLE kser_instances (
        name TEXT NOT NULL PRIMARY KEY, incarnation INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kser_runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        topic TEXT NOT NULL,
        digest TEXT NOT NULL,
        created INTEGER NOT NULL,
        status TEXT NOT NULL,
        position INTEGER NOT NULL,
        version INTEGER NOT NULL,
        stamp INTEGER NOT NULL,
        look_at INTEGER,
        ended INTEGER,
        progress TEXT NOT NULL
    ) STRICT;
    CREATE INDEX kser_runs_ended ON kser_runs (ended) WHERE ended IS NOT NULL;
    CREATE TABLE kser_tombstones (
        id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, status TEXT NOT NULL, purged INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kser_tombstones_purged ON kser_tombstones (purged);
    CREATE INDEX kser_runs_due ON kser_runs (topic, look_at) WHERE look_at IS NOT NULL;
    CREATE INDEX kser_runs_status ON kser_runs (status, number);
    CREATE INDEX kser_runs_name ON kser_runs (name, status, number);
    CREATE TABLE kser_launches (run INTEGER PRIMARY KEY, message BLOB NOT NULL) STRICT;
    CREATE TABLE kser_steps (
        run INTEGER NOT NULL, position INTEGER NOT NULL, step TEXT NOT NULL,
        PRIMARY KEY (run, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kser_attempts (
        run INTEGER NOT NULL, version INTEGER NOT NULL,
        position INTEGER NOT NULL, entrypoint TEXT NOT NULL, attempt INTEGER NOT NULL,
        started INTEGER, ended INTEGER NOT NULL, worker TEXT NOT NULL, status TEXT NOT NULL, outcome TEXT NOT NULL,
        intervention TEXT,
        PRIMARY KEY (run, version)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kser_outputs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL, version INTEGER NOT NULL, place INTEGER NOT NULL, due INTEGER NOT NULL,
        topic TEXT NOT NULL, record_key BLOB, headers BLOB NOT NULL, payload BLOB, not_before INTEGER
    ) STRICT;
    CREATE INDEX kser_outputs_due ON kser_outputs (due, number);
    CREATE UNIQUE INDEX kser_outputs_of_run ON kser_outputs (run, version, place);
    ",
}, Migration {
    oldest_reader: 1,
    statements: "
    ALTER TABLE kser_runs ADD COLUMN steps INTEGER;
    ALTER TABLE kser_runs ADD COLUMN updated INTEGER;
    ALTER TABLE kser_runs ADD COLUMN noted INTEGER;
    CREATE INDEX kser_runs_listed ON kser_runs (status, created, number);
    CREATE INDEX kser_runs_named ON kser_runs (name, status, created, number);
    DROP INDEX kser_runs_status;
    DROP INDEX kser_runs_name;
    ",
}, Migration {
    oldest_reader: 1,
    statements: "
    CREATE TABLE kser_consumers (
        id TEXT NOT NULL PRIMARY KEY, written INTEGER NOT NULL, announcement TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
}, Migration {
    oldest_reader: 4,
    statements: "CREATE TABLE kser_outcomes (run INTEGER PRIMARY KEY, outcomes TEXT NOT NULL) STRICT;",
}];

/// Makes the tables, or brings them up to date. Of many programs that do so at once one does, and the others wait.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let version = rusqlite::version_number();
    if version < OLDEST {
        return Err(Failure::permanent(format!(
            "SQLite {} is linked, which is older than 3.37",
            rusqlite::version()
        )));
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if applied(connection)? >= newest {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS kser_migrations (version INTEGER PRIMARY KEY, oldest_reader INTEGER NOT NULL) STRICT",
    )?;
    // Another program may have been first.
    let done = applied(&transaction)?;
    let all = (1..).zip(&MIGRATIONS);
    for (version, migration) in all.filter(|(version, _)| *version > done) {
        transaction.execute_batch(migration.statements)?;
        transaction.execute(
            "INSERT INTO kser_migrations VALUES (?1, ?2)",
            (version, migration.oldest_reader),
        )?;
    }
    Ok(transaction.commit()?)
}

/// Returns the version of the tables; 0 for none.
///
/// # Errors
///
/// When a later program has changed them so that this one may no longer work.
fn applied(connection: &Connection) -> Result<i64, Failure> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'kser_migrations'";
    if connection
        .query_row(sql, (), |_| Ok(()))
        .optional()?
        .is_none()
    {
        return Ok(0);
    }
    let sql =
        "SELECT coalesce(max(version), 0), coalesce(max(oldest_reader), 0) FROM kser_migrations";
    let (version, oldest): (i64, i64) =
        connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let ours = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match oldest > ours {
        true => Err(Failure::permanent(format!(
            "a later version of kser has changed the tables to version {version}, which needs a program of version {oldest}; this one is of version {ours}"
        ))),
        false => Ok(version),
    }
}
