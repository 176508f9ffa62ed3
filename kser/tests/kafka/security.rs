//! Passwords, certificates and settings that are wrong: a clear error at the connect.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::OnceLock;
use std::time::Duration;

use crate::common::road::{self, Diary, Trip, walk};
use crate::common::{Tested, on_cluster, trials, until};
use kser::kafka::{KafkaConfig, KafkaTransport};
use kser::{Error, Status};
use libtest_mimic::Trial;
use test_services::{Access, Cluster, Resource, Right};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        on_cluster:
        every_mechanism_runs_tasks,
        a_wrong_password_is_said,
        a_wrong_certificate_is_said,
        a_certificate_that_is_no_file_is_said,
        a_plain_client_at_a_secure_listener_is_told_to_use_tls,
        the_rights_of_the_guide_are_enough_and_a_missing_one_is_said,
    ]
}

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

async fn every_mechanism_runs_tasks() -> Tested {
    let access = access();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
        let transport = KafkaTransport::with_config(config(&access, mechanism)).await?;
        let kser = kser::Client::builder(transport).build().await?;
        let diary = Diary::default();
        kser.ensure_topics(&road::registry(diary.clone()), Some(1))
            .await?;
        let consumer = kser.consumer(road::registry(diary.clone())).spawn();
        kser.producer().send(walk(mechanism, 0)).await?;
        let has_run = || diary.texts("done").contains(&mechanism.to_owned());
        until(mechanism, Duration::from_secs(60), has_run).await?;
        consumer.stop().await?;
    }
    Ok(())
}

async fn a_wrong_password_is_said() -> Tested {
    let config = config(&access(), "SCRAM-SHA-256");
    let text = refused(config.with("sasl.password", "secret-guess").unwrap()).await;
    assert!(text.contains("Authentication failed"), "{text}");
    Ok(())
}

async fn a_wrong_certificate_is_said() -> Tested {
    let access = access();
    let other = strangers_certificate();
    let config = config(&access, "SCRAM-SHA-256");
    let text = refused(config.with("ssl.ca.location", other).unwrap()).await;
    assert!(text.contains("certificate verify failed"), "{text}");
    Ok(())
}

async fn a_certificate_that_is_no_file_is_said() -> Tested {
    let config = config(&access(), "SCRAM-SHA-256");
    let text = refused(config.with("ssl.ca.location", "/nowhere/ca.pem").unwrap()).await;
    assert!(text.contains("ssl.ca.location"), "{text}");
    Ok(())
}

async fn a_plain_client_at_a_secure_listener_is_told_to_use_tls() -> Tested {
    let text = refused(KafkaConfig::new(access().bootstrap)).await;
    assert!(text.contains("a listener that wants TLS"), "{text}");
    Ok(())
}

/// The rights are those of the README of kser-kafka: each line of it is given here, and no more.
async fn the_rights_of_the_guide_are_enough_and_a_missing_one_is_said() -> Tested {
    let start = || {
        let builder = Cluster::builder().with_sasl_ssl();
        let builder = builder.with_property(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        );
        // Those of the plain listener.
        builder
            .with_property("super.users", "User:ANONYMOUS")
            .start()
    };
    let cluster = tokio::task::spawn_blocking(start).await?;
    let (access, admin) = (cluster.access(), cluster.admin());
    let plain = format!("kafka://{}?prefix=shop.", cluster.bootstrap());
    let owner = kser::connect(&plain).await?;
    let diary = Diary::default();
    owner
        .ensure_topics(&road::registry(diary.clone()), Some(2))
        .await?;
    let allow = |right, on| admin.allow(access.user, right, on, "shop.");
    let url = |delivery: &str| {
        format!(
            "kafka://{}?prefix=shop.&security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-256&sasl.username={}&\
             sasl.password={}&ssl.ca.location={}&delivery={delivery}",
            access.bootstrap,
            access.user,
            access.password,
            access.ca.display()
        )
    };
    allow(Right::Read, Resource::Topic);
    allow(Right::Write, Resource::Topic);
    allow(Right::Read, Resource::Group);
    let exactly_once = kser::connect(&url("exactly-once")).await?;
    let refused = exactly_once
        .consumer(road::registry(diary.clone()))
        .run()
        .await;
    let text = told(&refused.unwrap_err());
    for said in [
        "`Write` and `Describe` on transactional ids that begin with shop.",
        "delivery=at-least-once",
        "Transactional Id authorization failed",
    ] {
        assert!(text.contains(said), "{text}");
    }
    for (trip, delivery) in [(0, "at-least-once"), (1, "exactly-once")] {
        if trip == 1 {
            allow(Right::Write, Resource::TransactionalId);
            allow(Right::Describe, Resource::TransactionalId);
        }
        let kser = kser::connect(&url(delivery)).await?;
        let consumer = kser.consumer(road::registry(diary.clone())).spawn();
        let run = kser.producer().launch(Trip { trip, ms: 0 }).await?;
        let state = run.wait_timeout(Duration::from_secs(60)).await?;
        assert_eq!(state.status, Status::Success, "{delivery}: {state:?}");
        consumer.stop().await?;
    }
    Ok(())
}

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

/// An error with its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
