//! Passwords, certificates and settings that are wrong: a clear error at the connect.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{Diary, note, noting, told};
use kser::{Error, KafkaConfig, KafkaTransport, NoStore};
use test_services::{Access, Cluster};

/// A broker that wants TLS and a password. It ends with the process.
fn access() -> Access {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let start = || Cluster::builder().with_sasl_ssl().start();
    CLUSTER.get_or_init(start).access()
}

fn config(access: &Access, mechanism: &str) -> KafkaConfig {
    let config = KafkaConfig::new(&*access.bootstrap);
    let settings = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", access.user),
        ("sasl.password", access.password),
        ("ssl.ca.location", access.ca.to_str().unwrap()),
    ];
    let with = |config: KafkaConfig, (key, value)| config.with(key, value).unwrap();
    settings.into_iter().fold(config, with)
}

async fn refused(config: KafkaConfig) -> String {
    let error = KafkaTransport::with_config(config).await.unwrap_err();
    let text = told(&error);
    assert!(!text.contains("secret"), "{text}");
    text
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn every_mechanism_runs_tasks() -> Result<(), Error> {
        let access = access();
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
            let transport = KafkaTransport::with_config(config(&access, mechanism)).await?;
            let kser = kser::connect_with(transport, NoStore).await?;
            let diary = Diary::default();
            kser.ensure_topics(&noting(&diary), Some(1)).await?;
            let consumer = kser.consumer(noting(&diary)).spawn();
            kser.producer().send(note(mechanism)).await?;
            let ran = async {
                while !diary.read().contains(&mechanism.to_owned()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), ran)
                .await
                .unwrap();
            consumer.stop().await?;
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_password_is_said() {
        let config = config(&access(), "SCRAM-SHA-256");
        let text = refused(config.with("sasl.password", "secret-guess").unwrap()).await;
        assert!(text.contains("Authentication failed"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_certificate_is_said() {
        let access = access();
        let other = strangers_certificate();
        let config = config(&access, "SCRAM-SHA-256");
        let text = refused(config.with("ssl.ca.location", other).unwrap()).await;
        assert!(text.contains("certificate verify failed"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_certificate_that_is_no_file_is_said() {
        let config = config(&access(), "SCRAM-SHA-256");
        let text = refused(config.with("ssl.ca.location", "/nowhere/ca.pem").unwrap()).await;
        assert!(text.contains("ssl.ca.location"), "{text}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plain_client_at_a_secure_listener_is_told_to_use_tls() {
        let text = refused(KafkaConfig::new(access().bootstrap)).await;
        assert!(text.contains("a listener that wants TLS"), "{text}");
    }
);

/// Makes a certificate that has signed nothing.
fn strangers_certificate() -> String {
    let other = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger.pem");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=stranger",
    ]);
    openssl.args(["-keyout", "/dev/null", "-out"]).arg(&other);
    assert!(openssl.output().unwrap().status.success());
    other.to_str().unwrap().to_owned()
}
