use std::future::ready;

use kser_core::store::{Inserted, NewRun};
use kser_core::{Error, StoreId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::failure::Failure;
use super::inserts::{Insert, InsertAnswer};
use super::{inserted, reads};
use crate::RunTransaction;

impl RunTransaction for Transaction<'_> {
    fn insert_run(
        &mut self,
        store: &StoreId,
        run: NewRun,
        now: Timestamp,
    ) -> impl Future<Output = Result<Inserted, Error>> {
        ready(insert(self, store, run, now))
    }
}

fn insert(
    transaction: &Transaction<'_>,
    store: &StoreId,
    run: NewRun,
    now: Timestamp,
) -> Result<Inserted, Error> {
    must_be_of(transaction, store)?;
    let id = run.id.clone();
    let insert = Insert::new(run, now)?;
    // The consumers see the commit by themselves.
    let (answer, _): (InsertAnswer, _) = insert.write(transaction).map_err(Failure::from)?;
    inserted(answer, &id)
}

/// Refuses a transaction on another file than that of the store.
fn must_be_of(connection: &Connection, store: &StoreId) -> Result<(), Error> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'kser_meta'";
    let has_tables = connection.query_row(sql, (), |_| Ok(())).optional();
    let found = match has_tables.map_err(Failure::from)? {
        Some(()) => reads::store_id(connection).map_err(Failure::from)?,
        None => String::new(),
    };
    match found == store.as_str() {
        true => Ok(()),
        false => Err(Error::Invalid {
            what: "the transaction".to_owned(),
            reason: "it is on another database than the store of the client".to_owned(),
        }),
    }
}
