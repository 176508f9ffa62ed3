use kser_sql::SqliteStore;
use kser_testkit::StoreHarness;

use crate::file::File;

/// Each rule has a file of its own, which stays until the test program ends.
async fn harness() -> StoreHarness {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let file = Box::leak(Box::new(file));
    assert!(file.path().exists());
    StoreHarness::new(store)
}

kser_testkit::store_suite!(paused, harness());
