//! Runs that are inserted in a transaction of the program's own.

use kser_core::store::{Inserted, NewRun};
use kser_core::{Error, StoreId, Timestamp};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use super::config::is_schema;
use super::failure::Failure;
use super::inserted;
use super::inserts::Insert;
use super::session::Query;
use super::statements::Statements;
use crate::RunTransaction;

impl Query for Transaction<'_> {
    async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        Ok(self.query(sql, values).await?)
    }
}

/// The schemas that may have the tables of a store, and whose tables the user may read. A statement that fails would end the
/// transaction.
const SCHEMAS: &str = "SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'meta' AND c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    AND EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.relnamespace = n.oid AND t.relname = 'tombstones')
    AND 2 = (SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('name', 'value'))";

/// The run is written with five round trips at most. The transaction may have any isolation level: a run of the same id that another
/// transaction has inserted meanwhile is an error of serialization in a stricter one than `READ COMMITTED`.
impl RunTransaction for Transaction<'_> {
    async fn insert_run(
        &mut self,
        store: &StoreId,
        run: NewRun,
        _: Timestamp,
    ) -> Result<Inserted, Error> {
        let schema = schema_of(self, store).await?.ok_or_else(|| Error::Invalid {
            what: "the transaction".to_owned(),
            reason: "it is on another database than the store of the client, or its user may not read the tables of the store"
                .to_owned(),
        })?;
        let id = run.id.clone();
        let insert = Insert::new(run)?;
        let statements = Statements::new(&schema);
        let answers = Insert::write_all(&[&insert], &*self, &statements).await?;
        let answer = answers.into_iter().next();
        let answer = answer.ok_or_else(|| Failure::permanent("an insert has no answer"))?;
        inserted(answer.value, &id)
    }
}

/// Returns the schema of the store with this id; `None` if the database of the transaction has no such store.
async fn schema_of(
    transaction: &Transaction<'_>,
    store: &StoreId,
) -> Result<Option<String>, Failure> {
    let mut schemas: Vec<String> = Vec::new();
    for row in transaction.rows(SCHEMAS, &[]).await? {
        schemas.push(row.try_get(0)?);
    }
    schemas.retain(|schema| is_schema(schema));
    let stored = |schema: &String| {
        format!(
            "SELECT '{schema}' FROM \"{schema}\".meta WHERE name::text = 'store_id' AND value::text = $1"
        )
    };
    let stored: Vec<String> = schemas.iter().map(stored).collect();
    if stored.is_empty() {
        return Ok(None);
    }
    let found = stored.join(" UNION ALL ");
    let rows = transaction.rows(&found, &[&store.as_str()]).await?;
    rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
}
