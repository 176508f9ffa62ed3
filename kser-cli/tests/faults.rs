//! The program before real backends that refuse, hang, or are frozen.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kser::backend::{Record, Transport, headers};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::{Entrypoint, Registry, Step};
use kser_cli::args::Cli;
use kser_cli::{Exit, Output, ProcessTerminal};
use kser_observe::Monitor;
use kser_ops::{Access, Ops};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::{Deserialize, Serialize};
use test_services::{Cluster, Postgres};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Pack")]
struct Pack {}

fn main() {
    let trial = |name: &str, has_service: bool, test: fn()| {
        let test = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, test).with_ignored_flag(!has_service)
    };
    let (kafka, postgres) = (test_services::HAS_KAFKA, test_services::HAS_POSTGRES);
    let trials = vec![
        trial(
            "a_wrong_password_of_a_database_is_not_shown",
            postgres,
            wrong_password_of_a_database,
        ),
        trial(
            "a_wrong_password_of_kafka_is_not_shown",
            kafka,
            wrong_password_of_kafka,
        ),
        trial(
            "a_question_that_hangs_ends_at_its_limit",
            postgres,
            question_that_hangs,
        ),
        trial(
            "a_frozen_database_and_broker_answer_nothing_and_hold_nothing_up",
            kafka && postgres,
            frozen,
        ),
        trial(
            "a_frozen_broker_makes_a_program_not_ready_and_leaves_it_alive",
            kafka,
            frozen_broker_and_probes,
        ),
        trial(
            "a_hundred_thousand_letters_are_counted_while_a_member_takes_them",
            kafka,
            many_letters,
        ),
        trial(
            "events_end_with_their_reader",
            kafka,
            events_end_with_their_reader,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn command(line: &str, backends: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
    command.args(line.split(' ')).args(backends);
    command.env_remove("KSER_URL").env_remove("KSER_STORE");
    command
}

/// Runs the program. Returns its exit code, all that it printed, and the time that it took.
fn kser(line: &str, backends: &[&str]) -> (Option<i32>, String, Duration) {
    let began = Instant::now();
    let output = command(line, backends).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    (output.status.code(), printed, began.elapsed())
}

/// Makes a server that asks one of its users for a password.
fn wrong_password_of_a_database() {
    let server = Postgres::start();
    server.execute(
        "CREATE ROLE shop LOGIN SUPERUSER PASSWORD 'right';
         DO $$ BEGIN
             EXECUTE format('COPY (SELECT unnest(ARRAY[''host all shop 127.0.0.1/32 scram-sha-256'', ''local all all trust'',
                 ''host all all 127.0.0.1/32 trust''])) TO %L', current_setting('hba_file'));
         END $$;
         SELECT pg_reload_conf()",
    );
    let url = |password: &str| format!("postgres://shop:{password}@{}/kser", server.address());
    let asked = |password: &str| {
        // A setting that is read again takes a moment.
        kser("runs ls", &["--store", &url(password)])
    };
    let (code, printed, _) = asked("right");
    assert_eq!(code, Some(0), "{printed}");
    for line in ["runs ls", "status", "runs ls --json", "runs show abcd"] {
        let (code, printed, took) = kser(line, &["--store", &url("hunter2")]);
        assert!(code != Some(0), "{line}: {printed}");
        assert!(printed.contains("password"), "{line}: {printed}");
        assert!(!printed.contains("hunter2"), "{line}: {printed}");
        assert!(took < Duration::from_secs(12), "{line}: {took:?}");
    }
}

fn wrong_password_of_kafka() {
    let cluster = Cluster::builder().with_sasl_ssl().start();
    let access = cluster.access();
    let authority = access.ca.display().to_string();
    let url = |password: &str| {
        format!(
            "kafka://{}?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-256&sasl.username={}&sasl.password={password}&ssl.ca.location={authority}",
            access.bootstrap, access.user
        )
    };
    let (code, printed, _) = kser("topics", &["--kafka", &url(access.password)]);
    assert_eq!(code, Some(0), "{printed}");
    for line in ["topics", "status", "letters ls --json"] {
        let (code, printed, took) = kser(line, &["--kafka", &url("hunter2")]);
        assert_eq!(code, Some(5), "{line}: {printed}");
        assert!(!printed.contains("hunter2"), "{line}: {printed}");
        assert!(took < Duration::from_secs(12), "{line}: {took:?}");
    }
}

/// The limit is that of the question, too: the database is frozen once the connection is there.
fn question_that_hangs() {
    let server = Postgres::start();
    Runtime::new().unwrap().block_on(async {
        let access = Access::new(None, Some(server.url())).unwrap();
        let access = access.with_timeout(Duration::from_secs(2));
        let ops = Ops::connect(&access).await.unwrap();
        let ask = async |line: &str| {
            let arguments = ["kser"].into_iter().chain(line.split(' '));
            let cli = <Cli as clap::Parser>::try_parse_from(arguments).unwrap();
            let mut out = Output::new(false, None, ops.now());
            let began = Instant::now();
            let mut terminal = ProcessTerminal::find();
            let asked = kser_cli::run(cli.command, &ops, &mut out, &mut terminal);
            let asked = timeout(Duration::from_secs(8), asked).await;
            (
                asked.map(|asked| asked.map_err(|error| error.to_string())),
                began.elapsed(),
            )
        };
        assert_eq!(ask("runs ls").await.0, Ok(Ok(Exit::Done)));
        server.freeze();
        for line in [
            "runs ls",
            "runs show abcd",
            "status",
            "runs resume abcd",
            "waiting",
        ] {
            let (asked, took) = ask(line).await;
            let expected = "the backend did not answer within 2 s".to_owned();
            assert_eq!(asked, Ok(Err(expected)), "{line}");
            assert!(took < Duration::from_secs(4), "{line}: {took:?}");
        }
        server.thaw();
    });
}

/// A broker or a database that answers nothing costs the limit, and the other half is shown.
fn frozen() {
    let (cluster, server) = (Cluster::start(1), Postgres::start());
    let kafka = format!("kafka://{}", cluster.bootstrap());
    let backends = ["--kafka", kafka.as_str(), "--store", &server.url()].map(str::to_owned);
    let backends = backends.each_ref().map(String::as_str);
    assert_eq!(kser("status", &backends).0, Some(0));
    let status = |silent: &str| {
        let (code, printed, took) = kser("status --timeout 4s", &backends);
        assert_eq!(code, Some(5), "{printed}");
        assert!(printed.contains("does not answer"), "{silent}: {printed}");
        assert!(took < Duration::from_secs(10), "{silent}: {took:?}");
        printed
    };
    cluster.freeze(1);
    assert!(status("the broker").contains("runs: 0 open"));
    cluster.thaw(1);
    server.freeze();
    assert!(status("the database").contains("TOPIC"));
    server.thaw();
    assert_eq!(kser("status", &backends).0, Some(0));
}

/// Looking takes nothing: while a member discards letters, the program counts those that are left, exactly whenever the member rests. The
/// member gets each letter once, so no rebalance has taken one from it.
fn many_letters() {
    const LETTERS: u64 = 100_000;
    let url = format!(
        "kafka://{}?prefix=many{}.",
        test_services::kafka(),
        std::process::id()
    );
    let counted = || {
        let (code, printed, _) = kser("letters causes shop --json", &["--kafka", &url]);
        assert_eq!(code, Some(0), "{printed}");
        let causes: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(causes["causes"].as_array().unwrap().len() <= 1, "{causes}");
        causes["letters"].as_u64().unwrap()
    };
    Runtime::new().unwrap().block_on(async {
        let kser = kser::connect(&url).await.unwrap();
        let registry = Registry::new().task(async |_: Pack| ()).build().unwrap();
        kser.ensure_topics(&registry, Some(3)).await.unwrap();
        let topic = format!("{}shop.dlt", kser.routes().prefix());
        let topic = Topic::new(topic).unwrap();
        let broker = format!("kafka://{}", test_services::kafka());
        let transport = KafkaTransport::connect(&broker).await.unwrap();
        for first in (0..LETTERS).step_by(5000) {
            let letter = |n: u64| {
                Record::new(topic.clone(), Some("{}".into()))
                    .with_key(n.to_string())
                    .with_header(
                        headers::ERROR,
                        format!("Refused (500): order {n} is refused"),
                    )
            };
            transport
                .publish((first..first + 5000).map(letter).collect())
                .await
                .unwrap();
        }
        assert_eq!(counted(), LETTERS);
        let mut letters = kser.dead_letters("shop").await.unwrap();
        let (mut taken, mut keys) = (0, BTreeSet::new());
        while taken < LETTERS {
            let page = letters.list(1000).await.unwrap();
            assert!(!page.is_empty(), "{taken} letters were taken");
            let mut discards = JoinSet::new();
            for letter in page {
                assert!(
                    keys.insert(letter.record().key.clone()),
                    "a letter came twice"
                );
                taken += 1;
                discards.spawn(letter.discard());
            }
            if taken.is_multiple_of(20_000) {
                // Counted while the member works.
                assert!((LETTERS - taken..=LETTERS).contains(&counted()));
            }
            for discarded in discards.join_all().await {
                discarded.unwrap();
            }
            if taken.is_multiple_of(20_000) {
                // The commit of the last discards is on its way.
                let began = Instant::now();
                while counted() != LETTERS - taken {
                    assert!(
                        began.elapsed() < Duration::from_secs(30),
                        "{taken}: {}",
                        counted()
                    );
                }
            }
        }
        letters.close().await.unwrap();
        assert_eq!(counted(), 0);
    });
}

/// While the only broker is frozen, for as long as `KSER_FROZEN_SECONDS` says, the program is alive all the time. It is not ready, and
/// is ready again afterwards.
fn frozen_broker_and_probes() {
    let seconds = std::env::var("KSER_FROZEN_SECONDS").ok();
    let seconds = seconds.map_or(20, |seconds| seconds.parse().unwrap());
    let cluster = Cluster::start(1);
    let url = format!("kafka://{}", cluster.bootstrap());
    Runtime::new().unwrap().block_on(async {
        let monitor = Monitor::new();
        let server = monitor.serve("127.0.0.1:0").unwrap();
        let registry = || Registry::new().task(async |_: Pack| ()).build().unwrap();
        let kser = kser::Client::builder_from_url(&url).observer(monitor.clone());
        let kser = kser.build().await.unwrap();
        kser.ensure_topics(&registry(), Some(1)).await.unwrap();
        let consumer = kser.consumer(registry()).spawn();
        let address = format!("http://{}", server.address());
        let probe = |which: &str| {
            let mut command = command("health", &[which, "--url", &address]);
            command.output().unwrap().status.code()
        };
        let ready = async |wanted: Option<i32>| {
            let began = Instant::now();
            while probe("--ready") != wanted {
                assert_eq!(probe("--live"), Some(0));
                assert!(began.elapsed() < Duration::from_secs(60), "{wanted:?}");
                sleep(Duration::from_millis(200)).await;
            }
        };
        ready(Some(0)).await;
        cluster.freeze(1);
        let began = Instant::now();
        ready(Some(1)).await;
        while began.elapsed() < Duration::from_secs(seconds) {
            assert_eq!((probe("--live"), probe("--ready")), (Some(0), Some(1)));
            sleep(Duration::from_millis(200)).await;
        }
        cluster.thaw(1);
        ready(Some(0)).await;
        kser.producer().send(Pack {}).await.unwrap();
        consumer.stop().await.unwrap();
    });
}

/// Ends a program whose reader has gone.
fn ends(child: &mut Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended.success();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    false
}

fn events_end_with_their_reader() {
    let prefix = format!("events{}.", std::process::id());
    let url = format!("kafka://{}?prefix={prefix}", test_services::kafka());
    Runtime::new().unwrap().block_on(async {
        let registry = || Registry::new().task(async |_: Pack| ()).build().unwrap();
        let kser = kser::connect(&url).await.unwrap();
        kser.ensure_topics(&registry(), Some(1)).await.unwrap();
        let consumer = kser.consumer(registry()).spawn();
        let launch = || {
            kser.producer()
                .launch_steps("shop.Order", vec![Step::new(Pack {})])
        };
        launch().await.unwrap().wait().await.unwrap();
        let mut child = command("events tail --since 1h", &["--kafka", &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("shop.Order"), "{line}");
        drop(reader);
        // The next event finds no reader.
        for _ in 0..3 {
            launch().await.unwrap().wait().await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
        assert!(ends(&mut child));
        let mut printed = String::new();
        let mut errors = child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut errors, &mut printed).unwrap();
        assert_eq!(printed, "");
        consumer.stop().await.unwrap();
    });
}
