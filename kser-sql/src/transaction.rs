use kser_core::store::{Inserted, NewRun};
use kser_core::{Error, StoreId, Timestamp};

/// A transaction of the program's own, in the database of a store: a run that is inserted in it exists exactly if the transaction
/// commits.
pub trait RunTransaction {
    /// Inserts a run at the time `now` of the store.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the database of the transaction is not that of the store with the id `store`; [`Error::Backend`]
    /// when it cannot be written.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future the program rolls the transaction back.
    fn insert_run(
        &mut self,
        store: &StoreId,
        run: NewRun,
        now: Timestamp,
    ) -> impl Future<Output = Result<Inserted, Error>>;
}
