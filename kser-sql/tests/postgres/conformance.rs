use kser_sql::PostgresStore;
use kser_testkit::StoreHarness;

use crate::schema;

/// Each rule has a schema of its own on the server that all share.
async fn harness() -> StoreHarness {
    let url = schema::new(test_services::postgres());
    StoreHarness::new(PostgresStore::open(&url).await.unwrap())
}

test_services::postgres_tests!(kser_testkit::store_suite!(real, harness()));
