//! Tables of an earlier version, and programs of an earlier version beside this one.

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{NewRun, RunFilter, RunSummary, Write};
use kser_core::{Outcome, StateStore, Status, Timestamp, Topic};
use kser_sql::PostgresStore;

use crate::schema;

/// Puts the tables back as they were before the second migration.
const BEFORE_PAGES: &str = "
    DROP TABLE kser.consumers;
    DROP INDEX kser.runs_listed;
    DROP INDEX kser.runs_named;
    CREATE INDEX runs_status ON kser.runs (status, number);
    CREATE INDEX runs_name ON kser.runs (name, status, number);
    ALTER TABLE kser.runs DROP COLUMN steps, DROP COLUMN updated, DROP COLUMN noted;
    ALTER TABLE kser.runs DROP COLUMN outcomes;
    DELETE FROM kser.migrations WHERE version >= 2;
";

async fn cancel(store: &PostgresStore) {
    let id = "old".into();
    let before = store.read(&id).await.unwrap();
    let (now, before) = (before.now, before.value.into_progress().unwrap());
    let after = apply(&before, StepWindow::default(), Event::Cancelled, now).unwrap();
    let write = Write::new(after.progress);
    store.swap(&id, before.revision(), write).await.unwrap();
}

/// Lists the run, as its description tells it.
async fn listed(store: &PostgresStore) -> RunSummary {
    let page = store.list(&RunFilter::default()).await.unwrap();
    let info = store.run(&"old".into()).await.unwrap().unwrap();
    assert_eq!(page.rows, [RunSummary::from(&info)]);
    RunSummary::from(&info)
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn a_list_tells_rows_that_an_earlier_version_has_written() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let schema = url.split_once("schema=").unwrap().1;
        let sql = |text: &str| server.execute(&text.replace("kser.", &format!("{schema}.")));
        let store = PostgresStore::open(&url).await.unwrap();
        let topic = Topic::new("test").unwrap();
        let launched = Timestamp::from_millis(1_700_000_000_000);
        let progress = Progress::forked(3, 2, Outcome::default(), launched);
        let new = NewRun::new(
            "old".into(),
            "test.Run".into(),
            topic,
            "{}".into(),
            String::new(),
            progress,
        );
        store.insert(new).await.unwrap();
        drop(store);
        sql(BEFORE_PAGES);
        let store = PostgresStore::open(&url).await.unwrap();
        assert_eq!(listed(&store).await.position, 2);
        // A program that does not know the columns writes all others.
        cancel(&store).await;
        assert_eq!(listed(&store).await.status, Status::Cancelled);
        sql("UPDATE kser.runs SET steps = 77, updated = 1, noted = 1");
        let told = listed(&store).await;
        assert_eq!((told.status, told.steps), (Status::Cancelled, 3));
        assert!(told.updated.as_millis() > 1);
    }
);
