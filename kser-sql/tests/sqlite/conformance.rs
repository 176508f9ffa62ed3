use std::sync::LazyLock;

use kser_sql::SqliteStore;
use kser_testkit::StoreHarness;

use crate::file::File;

/// One file for all rules, as a database that is shared.
static SHARED: LazyLock<File> = LazyLock::new(File::new);

async fn harness() -> StoreHarness {
    StoreHarness::new(SqliteStore::open(SHARED.path()).await.unwrap())
}

mod on_real_time {
    use super::harness;

    kser_testkit::store_suite!(real, harness());
}

mod on_paused_time {
    use super::*;

    async fn alone() -> StoreHarness {
        let file = File::new();
        let store = SqliteStore::open(file.path()).await.unwrap();
        // Kept for the time of the test program.
        std::mem::forget(file);
        StoreHarness::new(store)
    }

    kser_testkit::store_suite!(paused, alone());
}
