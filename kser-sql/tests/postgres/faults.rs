//! Databases that are not as they should be, odd values, and other programs in the same database.

use std::time::Duration;

use kser_core::sequencing::Progress;
use kser_core::store::{Attempt, Found, Inserted, Standing, Swapped, Write};
use kser_core::{Error, Outcome, StateStore, Timestamp};
use kser_sql::PostgresStore;
use tokio_postgres::NoTls;

use crate::proxy::{Kind, Proxy};
use crate::runs::{after, change, id, insert, new};
use crate::schema;

async fn refused(url: &str) -> (String, bool) {
    let error = PostgresStore::open(url).await.unwrap_err();
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    (
        format!("{error:?} {}", error.report()),
        error.is_temporary(),
    )
}

fn name(url: &str) -> &str {
    url.split_once("schema=").unwrap().1
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn tables_of_a_later_version_are_used_while_this_one_may() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let id = PostgresStore::open(&url)
            .await
            .unwrap()
            .id()
            .await
            .unwrap()
            .value;
        server.execute(&format!(
            "INSERT INTO {}.migrations VALUES (99, 1)",
            name(&url)
        ));
        let again = PostgresStore::open(&url).await.unwrap();
        assert_eq!(again.id().await.unwrap().value, id);
    }

    #[tokio::test]
    async fn tables_that_need_a_later_version_are_refused() {
        let server = test_services::postgres();
        let url = schema::new(server);
        PostgresStore::open(&url).await.unwrap();
        server.execute(&format!(
            "INSERT INTO {}.migrations VALUES (99, 98)",
            name(&url)
        ));
        for _ in 0..2 {
            let (text, temporary) = refused(&url).await;
            assert!(
                text.contains("a later version of kser has changed the tables"),
                "{text}"
            );
            assert!(!temporary);
        }
        // Those of the tests beside this one have other keys.
        let locks = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::int8 = hashtext('{}')::int8 & 4294967295",
            name(&url)
        );
        assert_eq!(server.execute(&locks), "0", "no lock is left behind");
    }

    #[tokio::test]
    async fn a_database_that_is_away_or_refuses_the_user_is_told_without_the_password() {
        let server = test_services::postgres();
        let (text, temporary) = refused("postgres://u:hunter2@127.0.0.1:1/shop").await;
        assert!(temporary && !text.contains("hunter2"), "{text}");
        server.execute("CREATE ROLE locked LOGIN PASSWORD 'secret'");
        let url = |password| {
            format!(
                "postgres://locked:{password}@{}/kser?schema=locked",
                server.address()
            )
        };
        let (text, temporary) = refused(&url("hunter2")).await;
        assert!(
            !temporary && text.contains("password authentication failed"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        let (text, temporary) = refused(&url("secret")).await;
        assert!(
            !temporary && text.contains("permission denied for database"),
            "{text}"
        );
        // A schema that an administrator has made is enough.
        server.execute("CREATE SCHEMA locked AUTHORIZATION locked");
        PostgresStore::open(&url("secret")).await.unwrap();
    }

    #[tokio::test]
    async fn a_pooler_that_drops_the_settings_of_connections_is_refused() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let proxy = Proxy::start(server.address(), Kind::DropsSettings).await;
        let (text, temporary) = refused(&proxy.url(&url, &server.address())).await;
        assert!(
            !temporary && text.contains("there is a pooler in between"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn texts_with_zero_characters_come_back() {
        let url = schema::new(test_services::postgres());
        let store = PostgresStore::open(&url).await.unwrap();
        let now = store.id().await.unwrap().now;
        let mut run = new("a\0b".into(), Progress::launched(now));
        run.name = "na\0me".into();
        run.launch = vec![0, 255, b'{', 0].into();
        store.insert(run.clone()).await.unwrap();
        let mut write = Write::new(after(&run.progress, 7));
        let outcome = Outcome::text("zero \0 and \u{1f3b2}");
        let mut attempt = Attempt::new(0, "na\0me".into(), 1, now, outcome);
        attempt.worker = "wor\0ker".to_owned();
        write.attempt = Some(attempt.clone());
        store
            .swap(&run.id, run.progress.revision(), write)
            .await
            .unwrap();
        let info = store.run(&run.id).await.unwrap().unwrap();
        assert_eq!(
            (info.id, info.name, info.launch),
            (run.id.clone(), run.name, run.launch)
        );
        assert_eq!(
            store.attempts(&run.id, None, 9).await.unwrap().rows,
            [attempt]
        );
        assert!(store.run(&"a".into()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_outcome_of_thirty_megabytes_comes_back() {
        let url = schema::new(test_services::postgres());
        let store = PostgresStore::open(&url).await.unwrap();
        insert(&store, id(0)).await.unwrap();
        let read = store.read(&id(0)).await.unwrap();
        let (now, before) = (read.now, read.value.into_progress().unwrap());
        let mut write = Write::new(after(&before, 1));
        let outcome = Outcome::text("x".repeat(30 << 20));
        write.attempt = Some(Attempt::new(0, "test.Run".into(), 1, now, outcome.clone()));
        let revision = before.revision();
        store.swap(&id(0), revision, write).await.unwrap();
        let attempts = store.attempts(&id(0), None, 10).await.unwrap().rows;
        assert!(attempts.len() == 1 && attempts[0].outcome == outcome);
    }

    #[tokio::test]
    async fn an_error_of_one_write_is_not_that_of_another() {
        let url = schema::new(test_services::postgres());
        let store = PostgresStore::open(&url).await.unwrap();
        // No index of PostgreSQL takes a text of this length that cannot be compressed.
        let mut random = 1_u64;
        let long: String = (0..20_000)
            .map(|_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(b'!' + u8::try_from((random >> 33) % 90).unwrap())
            })
            .collect();
        let writes = (0..40).map(|number| {
            let store = store.clone();
            let id = if number == 20 {
                long.as_str().into()
            } else {
                id(number)
            };
            tokio::spawn(async move { insert(&store, id).await })
        });
        let writes: Vec<_> = writes.collect();
        for (number, write) in writes.into_iter().enumerate() {
            let written = write.await.unwrap();
            match number {
                20 => assert!(!written.unwrap_err().is_temporary()),
                _ => assert_eq!(written.unwrap(), Inserted::New),
            }
        }
    }

    #[tokio::test]
    async fn an_insert_that_waits_for_the_commit_of_another_finds_its_run() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let store = PostgresStore::open(&url).await.unwrap();
        insert(&store, id(0)).await.unwrap();
        let (mut other, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let transaction = other.transaction().await.unwrap();
        let sql = format!(
            "INSERT INTO {0}.runs (id, name, topic, digest, created, status, position, version, stamp, look_at, progress)
             SELECT 'run 1', name, topic, digest, created, status, position, version, stamp, look_at, progress FROM {0}.runs",
            name(&url)
        );
        transaction.batch_execute(&sql).await.unwrap();
        let waiting = store.clone();
        let waiting = tokio::spawn(async move { insert(&waiting, id(1)).await });
        let blocked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'",
            name(&url)
        );
        while server.execute(&blocked) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A swap of another run does not wait with it.
        assert!(change(&store, &id(0), 5).await.unwrap());
        transaction.commit().await.unwrap();
        let found = waiting.await.unwrap().unwrap();
        assert!(matches!(found, Inserted::Same(_)), "{found:?}");
    }

    #[tokio::test]
    async fn the_time_is_that_of_the_database() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let store = PostgresStore::open(&url).await.unwrap();
        insert(&store, id(0)).await.unwrap();
        let clock = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8";
        let before: u64 = server.execute(clock).parse().unwrap();
        let now = store.id().await.unwrap().now;
        let after: u64 = server.execute(clock).parse().unwrap();
        assert!((before..=after).contains(&now.as_millis()));
        // A run that is due in ten minutes by a wrong clock of ours is not due before.
        let progress = store
            .read(&id(0))
            .await
            .unwrap()
            .value
            .into_progress()
            .unwrap();
        let ahead = Timestamp::from_millis(now.as_millis() + 600_000);
        let wrong = Progress::launched(ahead);
        store.insert(new(id(1), wrong)).await.unwrap();
        let topic = kser_core::Topic::new("test").unwrap();
        let due = store
            .due(&topic, Duration::ZERO, 9, Duration::ZERO)
            .await
            .unwrap();
        assert!(due.value.is_empty() && due.now < progress.check_at().unwrap());
    }

    #[tokio::test]
    async fn a_restored_backup_refuses_the_writers_of_the_lost_time() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let store = PostgresStore::open(&url).await.unwrap();
        let now = store.id().await.unwrap().now;
        let launched = Progress::launched(now).with_stamp(1);
        store.insert(new(id(0), launched.clone())).await.unwrap();
        let life = store.register(&"worker".into()).await.unwrap().value;
        let name = name(&url);
        server.execute(&format!(
            "CREATE TABLE {name}.backup AS SELECT * FROM {name}.runs"
        ));
        // The run moves on, and its progress is lost.
        let cancelled = after(&launched, 2);
        store
            .swap(&id(0), launched.revision(), Write::new(cancelled.clone()))
            .await
            .unwrap();
        server.execute(&format!(
            "UPDATE {name}.runs r SET version = b.version, stamp = b.stamp, status = b.status, progress = b.progress FROM {name}.backup b WHERE b.id = r.id;
             DELETE FROM {name}.instances"
        ));
        let swap = async |before: &Progress, after: Progress| {
            let swapped = store
                .swap(&id(0), before.revision(), Write::new(after))
                .await;
            swapped.unwrap().value
        };
        let resumed = after(&cancelled, 3);
        let conflict = |progress: &Progress| {
            let standing = Standing::new(progress.clone(), None, None);
            Swapped::Conflict(Found::Stands(Box::new(standing)))
        };
        let stored = conflict(&launched);
        assert_eq!(swap(&cancelled, resumed.clone()).await, stored);
        // Another history of the same versions, which the writers of the first one do not match either.
        let again = after(&launched, 4);
        assert_eq!(swap(&launched, again.clone()).await, Swapped::Written(None));
        assert_eq!(swap(&cancelled, resumed).await, conflict(&again));
        let next = store.register(&"worker".into()).await.unwrap().value;
        assert!(next.supersedes(&life));
    }

    #[tokio::test]
    async fn the_health_tells_the_age_of_a_forgotten_transaction() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let store = PostgresStore::open(&url).await.unwrap();
        let (program, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        // Only a transaction with a number or a snapshot keeps old rows.
        program
            .batch_execute("BEGIN; SELECT txid_current()")
            .await
            .unwrap();
        let wait_for = async |is_reached: fn(Duration) -> bool| {
            let reached = async || {
                let age = store.health().oldest_snapshot;
                is_reached(age.unwrap_or_default())
            };
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = Duration::from_secs(120);
        let old = tokio::time::timeout(limit, wait_for(|age| age > Duration::from_secs(4))).await;
        old.expect("the transaction grows old");
        program.batch_execute("ROLLBACK").await.unwrap();
        let over = tokio::time::timeout(limit, wait_for(|age| age < Duration::from_secs(4))).await;
        over.expect("the transaction is over");
    }
);
