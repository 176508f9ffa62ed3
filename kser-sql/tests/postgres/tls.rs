//! Connections with TLS: the checks of each `sslmode`, and errors that name the file or the reason.

use kser_core::{Error, StateStore};
use kser_sql::PostgresStore;
use test_services::Postgres;

use crate::runs::{id, insert};

/// Opens a store on the server under a name, with these options.
async fn open(server: &Postgres, host: &str, options: &str) -> Result<PostgresStore, Error> {
    let port = server.address();
    let port = port.rsplit(':').next().unwrap_or_default();
    let url = format!("postgres://kser@{host}:{port}/kser?hostaddr=127.0.0.1{options}");
    PostgresStore::open(&url).await
}

fn text(opened: Result<PostgresStore, Error>) -> String {
    let error = opened.unwrap_err();
    error.report()
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn each_mode_of_tls_checks_as_much_as_its_name_says() {
        let server = Postgres::start_with_tls();
        let ca = server.authority();
        let root = |mode: &str| format!("&sslmode={mode}&sslrootcert={}", ca.display());
        for options in [
            root("verify-full"),
            root("verify-ca"),
            root("require"),
            "&sslmode=require".to_owned(),
            String::new(),
        ] {
            let store = open(&server, "localhost", &options).await.unwrap();
            insert(&store, id(1)).await.unwrap();
            assert!(store.read(&id(1)).await.unwrap().value.progress().is_some());
            let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                WHERE application_name = 'kser' AND NOT ssl";
            assert_eq!(server.execute(plain).trim(), "0", "{options}");
        }
        // The certificate does not name this host.
        assert!(
            open(&server, "db.example", &root("verify-ca"))
                .await
                .is_ok()
        );
        let other = text(open(&server, "db.example", &root("verify-full")).await);
        assert!(other.contains("certificate verify failed"), "{other}");
        assert!(
            other.to_lowercase().contains("hostname mismatch"),
            "{other}"
        );

        // Another authority: that of another server.
        let stranger = Postgres::start_with_tls();
        for mode in ["require", "verify-ca", "verify-full"] {
            let of_another = format!(
                "&sslmode={mode}&sslrootcert={}",
                stranger.authority().display()
            );
            let refused = text(open(&server, "localhost", &of_another).await);
            assert!(
                refused.contains("certificate verify failed"),
                "{mode}: {refused}"
            );
        }
        // The roots of the system do not have it.
        let unknown = text(open(&server, "localhost", "&sslmode=verify-full").await);
        assert!(unknown.contains("certificate verify failed"), "{unknown}");
        let plain = text(open(&server, "localhost", "&sslmode=disable").await);
        assert!(plain.contains("no encryption"), "{plain}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_refused_where_it_is_required() {
        let server = test_services::postgres();
        let refused = text(open(server, "localhost", "&sslmode=require").await);
        assert!(refused.contains("does not support TLS"), "{refused}");
        assert!(open(server, "localhost", "&sslmode=prefer").await.is_ok());
    }

    #[tokio::test]
    async fn files_of_tls_that_are_not_there_are_named() {
        let server = test_services::postgres();
        for (options, expected) in [
            (
                "&sslmode=verify-full&sslrootcert=/no/ca.pem",
                "`sslrootcert` /no/ca.pem",
            ),
            (
                "&sslcert=/no/client.pem&sslkey=/no/client.key",
                "`sslcert` /no/client.pem",
            ),
            (
                "&sslcert=/no/client.pem",
                "`sslcert` and `sslkey` go together",
            ),
            ("&sslmode=full", "there is no `sslmode=full`"),
            ("&sslpassword=hunter2", "there is no option `sslpassword`"),
        ] {
            let refused = text(open(server, "localhost", options).await);
            assert!(refused.contains(expected), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
);
