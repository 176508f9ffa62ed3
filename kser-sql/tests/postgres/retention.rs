//! Runs that ended long ago are removed, if the store is asked to.

use std::time::Duration;

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{Found, NewRun, OutputId, Write};
use kser_core::{Record, RunId, StateStore as _, Topic};
use kser_sql::PostgresStore;

use crate::schema;

/// The age at which runs are removed.
const AGE: Duration = Duration::from_secs(3);

async fn insert(store: &PostgresStore, id: &str) -> (RunId, Progress) {
    let id = RunId::from(id);
    let now = store.id().await.unwrap().now;
    let progress = Progress::launched(now);
    let (topic, launch) = (Topic::new("test").unwrap(), "{}".into());
    let name = "test.Run".into();
    let digest = String::new();
    let run = NewRun::new(id.clone(), name, topic, launch, digest, progress.clone());
    store.insert(run).await.unwrap();
    (id, progress)
}

/// Cancels a run, with this output.
async fn cancel(store: &PostgresStore, (id, progress): &(RunId, Progress), output: Option<Record>) {
    let now = store.id().await.unwrap().now;
    let cancelled = apply(progress, StepWindow::default(), Event::Cancelled, now);
    let mut write = Write::new(cancelled.unwrap().progress);
    write.outputs.extend(output);
    store.swap(id, progress.revision(), write).await.unwrap();
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn a_run_is_removed_at_the_age_of_the_retention() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let all = PostgresStore::open(&url).await.unwrap();
        let store = all.clone().with_retention(AGE);
        let active = insert(&store, "active").await;
        let unsent = insert(&store, "unsent").await;
        let output = Record::new(Topic::new("out").unwrap(), None);
        cancel(&store, &unsent, Some(output)).await;
        let late = insert(&store, "ended late").await;
        let mut ended = Vec::new();
        // More than one page.
        for number in 0..250 {
            let run = insert(&store, &format!("ended {number}")).await;
            cancel(&store, &run, None).await;
            ended.push(run.0);
        }
        let is_kept = async |id: &RunId| {
            let found = store.read(id).await.unwrap().value;
            matches!(found, Found::Stands(_))
        };
        store.outputs_due(1, Duration::ZERO).await.unwrap();
        let last = ended.last().unwrap();
        assert!(is_kept(last).await, "it is not that old");
        tokio::time::sleep(AGE).await;
        cancel(&store, &late, None).await;
        all.outputs_due(1, Duration::ZERO).await.unwrap();
        assert!(
            is_kept(last).await,
            "a store without a retention removes none"
        );
        store.outputs_due(10, Duration::ZERO).await.unwrap();
        for id in &ended {
            assert!(!is_kept(id).await, "{id}");
        }
        assert!(is_kept(&active.0).await, "it has not ended");
        assert!(is_kept(&late.0).await, "it has ended only now");
        assert!(is_kept(&unsent.0).await, "it has an output to relay");
        let output = OutputId {
            run: unsent.0.clone(),
            version: unsent.1.version() + 1,
            index: 0,
        };
        store.relayed(&[output]).await.unwrap();
        store.outputs_due(1, Duration::ZERO).await.unwrap();
        assert!(!is_kept(&unsent.0).await);
        let found = store.read(&ended[0]).await.unwrap().value;
        assert!(matches!(found, Found::Purged(_)), "late records are known");
        // All rows of a removed run are gone, and no other ones.
        let schema = url.split_once("schema=").unwrap().1;
        for (table, left) in [
            ("runs", "2"),
            ("launches", "2"),
            ("outputs", "0"),
            ("tombstones", "251"),
        ] {
            let sql = format!("SELECT count(*) FROM {schema}.{table}");
            assert_eq!(server.execute(&sql), left, "{table}");
        }
    }
);
