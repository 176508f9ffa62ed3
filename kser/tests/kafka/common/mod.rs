//! What the tests on Kafka share: names of one's own, processes that can be killed, and what they ran.
#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod judge;
pub(crate) mod lines;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod road;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser::{Client, Registry};
use libtest_mimic::{Failed, Trial};

/// Sessions end soon, so that a test need not wait for them.
pub(crate) const SHORT_SESSION: &str = "session.timeout.ms=1500&heartbeat.interval.ms=300";

/// Each of the guarantees, as an option of the URL.
pub(crate) const AT_LEAST_ONCE: &str = "delivery=at-least-once";
pub(crate) const EXACTLY_ONCE: &str = "delivery=exactly-once";

/// What a test returns.
pub(crate) type Tested = Result<(), Failed>;

/// Returns a prefix that no other test has.
pub(crate) fn prefix() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let n = LAST.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{n}.", std::process::id())
}

/// Names the broker that all tests share, with a prefix of one's own.
pub(crate) fn url(options: &str) -> String {
    url_of(test_services::kafka(), options)
}

/// Names brokers, with a prefix of one's own.
pub(crate) fn url_of(servers: &str, options: &str) -> String {
    format!("kafka://{servers}?prefix={}&{options}", prefix())
}

/// Connects, and makes the topics of a registry.
pub(crate) async fn connect(
    url: &str,
    registry: &Registry,
    partitions: u32,
) -> Result<Client, kser::Error> {
    let kser = patiently(|| kser::connect(url)).await?;
    kser.ensure_topics(registry, Some(partitions)).await?;
    Ok(kser)
}

/// Tries again when a broker on a busy machine does not answer in time.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, kser::Error>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, kser::Error> {
    for _ in 0..5 {
        match attempt().await {
            Err(error) if error.is_temporary() => {}
            done => return done,
        }
    }
    attempt().await
}

/// Declares tests by the names of their functions.
macro_rules! trials {
    ($declare:ident: $($test:ident),* $(,)?) => {
        vec![$($declare(stringify!($test), $test)),*]
    };
}
pub(crate) use trials;

/// Declares a test that needs the shared broker.
pub(crate) fn on_kafka<E: Into<Failed>, F: Future<Output = Result<(), E>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    trial(name, test).with_ignored_flag(!test_services::HAS_KAFKA)
}

/// Declares a test that starts brokers. Where only a running one is known, there may be no Java.
pub(crate) fn on_cluster<E: Into<Failed>, F: Future<Output = Result<(), E>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let can_start = test_services::HAS_CLUSTER && std::env::var_os("KSER_TEST_KAFKA").is_none();
    trial(name, test).with_ignored_flag(!can_start)
}

/// Declares a test that prints how long it took.
fn trial<E: Into<Failed>, F: Future<Output = Result<(), E>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let named = name.to_owned();
    Trial::test(name, move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build()?;
        let tested = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let tested = test().await;
            println!("{named}: {:?}", began.elapsed());
            tested
        });
        tested.map_err(Into::into)
    })
}

/// Waits until something is so.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    is_so: impl Fn() -> bool + Send + Sync,
) -> Tested {
    let waited = tokio::time::timeout(limit, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let waited = waited.await;
    waited.map_err(|_| format!("not within {limit:?}: {what}").into())
}

pub(crate) fn expect(is_so: bool, otherwise: impl FnOnce() -> String) -> Tested {
    match is_so {
        true => Ok(()),
        false => Err(otherwise().into()),
    }
}

/// A sequence of numbers that can be had again from its seed, which is printed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(what: &str) -> Self {
        let seed = std::env::var("KSER_TEST_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("{what}: KSER_TEST_SEED={seed}");
        // Two in a test, of one seed, differ.
        let mixed = what.bytes().fold(seed, |mixed, byte| {
            mixed.wrapping_mul(31).wrapping_add(byte.into())
        });
        Self(mixed | 1)
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        least + self.0 % (most - least)
    }
}
