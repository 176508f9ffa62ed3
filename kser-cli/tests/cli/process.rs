use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use kser_observe::Monitor;

fn kser_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
    command.args(arguments).stdin(Stdio::null());
    command.env_remove("KSER_URL").env_remove("KSER_STORE");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = kser_command(arguments).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("kser-cli-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join("shop.db")
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for (arguments, text) in [
        (&["status"][..], "name Kafka (--kafka or KSER_URL)"),
        (
            &["status", "--kafka", "memory://"],
            "lives inside the process that opened it",
        ),
        (
            &["status", "--store", "mysql://u:hunter2@db/x"],
            "there are `memory://`, `sqlite://` and `postgres://`",
        ),
        (&["letters", "replay"], "required"),
        (&["letters", "show", "dice"], "topic/partition/offset"),
        (
            &["letters", "ls", "--cause", "xyz"],
            "4 to 8 hexadecimal digits",
        ),
        (&["runs"], "kser runs [OPTIONS] <COMMAND>"),
        (&["run"], "unrecognized subcommand"),
        (&["health", "--url", "https://a"], "http://host:port"),
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!(
            (code, out.as_str()),
            (Some(2), ""),
            "{arguments:?}: {error}"
        );
        assert!(
            error.contains(text) && !error.contains("hunter2"),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn errors_are_json_where_answers_are() {
    for (arguments, kind) in [
        (&["status", "--json"][..], "usage"),
        (&["letters", "show", "dice", "--json"], "usage"),
        (
            &["health", "--url", "http://127.0.0.1:1", "--json"],
            "no_answer",
        ),
    ] {
        let (_, out, error) = run(arguments);
        assert_eq!(out, "");
        let error: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{error}");
        super::schema::check("", &error.to_string());
    }
}

#[test]
fn a_store_alone_is_enough() {
    let store = format!("sqlite://{}", file("alone").display());
    let (code, out, error) = run(&["status", "--store", &store]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.starts_with(&format!("no Kafka · {store} · ")), "{out}");
    let (code, _, error) = run(&["letters", "ls", "--store", &store]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("looking at dead letters needs Kafka: it is not named"),
        "{error}"
    );
}

/// The half that answers is shown, and the exit code tells of the other one.
#[test]
fn a_broker_that_is_away_leaves_the_store() {
    let store = format!("sqlite://{}", file("half").display());
    let kafka = "kafka://127.0.0.1:1?sasl.password=hunter2";
    let arguments = [
        "status",
        "--store",
        &store,
        "--kafka",
        kafka,
        "--timeout",
        "2s",
    ];
    let (code, out, error) = run(&arguments);
    assert_eq!((code, error.as_str()), (Some(5), ""));
    assert!(out.contains("kafka://127.0.0.1:1 does not answer"), "{out}");
    assert!(
        out.contains("! Kafka (kafka://127.0.0.1:1) cannot be asked"),
        "{out}"
    );
    assert!(!out.contains("hunter2"));
    let (code, out, error) = run(&["status", "--kafka", kafka, "--timeout", "1s"]);
    assert_eq!((code, out.as_str()), (Some(5), ""), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn health_asks_a_program() {
    let monitor = Monitor::new();
    let server = monitor.serve("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.address());
    let ask = |probe: &[&str]| run(&[&["health", "--url", &url], probe].concat());
    let (code, out, _) = ask(&["--live"]);
    assert_eq!((code, out.as_str()), (Some(0), "ok\n"));
    let (code, out, _) = ask(&["--ready"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "no_consumer: 0 of 1 consumers run\n")
    );
    let (code, out, _) = ask(&["--started"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "no_consumer: 0 of 1 consumers run\n")
    );
    let (code, out, _) = ask(&[]);
    let health: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &health["live"]), (Some(0), &true.into()));
    for probe in [&["--json"][..], &["--ready", "--json"]] {
        super::schema::check("health", &ask(probe).1);
    }
    drop(server);
    assert_eq!(ask(&["--live"]).0, Some(5));
}

#[test]
fn runs_of_a_store_have_exit_codes() {
    let store = format!("sqlite://{}", file("runs").display());
    let ask = |arguments: &[&str]| run(&[arguments, &["--store", &store]].concat());
    let (code, out, _) = ask(&["runs", "ls"]);
    assert_eq!((code, out.as_str()), (Some(0), "there are no such runs\n"));
    let (code, out, _) = ask(&["runs", "ls", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &page["runs"]), (Some(0), &serde_json::json!([])));
    let (code, out, error) = ask(&["runs", "resume", "0000000000", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!((code, out.as_str()), (Some(3), ""));
    let expected = serde_json::json!({"error": {"kind": "not_found",
        "message": "no run begins with 0000000000", "temporary": false}});
    assert_eq!(error, expected);
    let (code, _, error) = ask(&["launch", "shop.Order"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("a launch needs Kafka: it is not named"),
        "{error}"
    );
    let (code, _, error) = run(&[
        "runs",
        "ls",
        "--kafka",
        "kafka://127.0.0.1:1",
        "--timeout",
        "1s",
    ]);
    assert!(code == Some(5) || code == Some(2), "{error}");
    let (code, _, error) = ask(&["runs", "ls", "--after", "c1-nothing"]);
    assert_eq!(code, Some(2), "{error}");
}

#[test]
fn a_database_that_is_away_shows_no_password() {
    let store = "postgres://kser:hunter2@127.0.0.1:1/shop";
    let (code, out, error) = run(&["runs", "ls", "--store", store, "--timeout", "2s"]);
    assert_eq!((code, out.as_str()), (Some(5), ""), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

/// A program that is older than the tables says so, and touches nothing.
#[test]
fn a_store_of_a_newer_version_is_refused() {
    let path = file("newer");
    let store = format!("sqlite://{}", path.display());
    assert_eq!(run(&["status", "--store", &store]).0, Some(0));
    let tables = rusqlite::Connection::open(&path).unwrap();
    let later = "INSERT INTO kser_migrations VALUES (99, 99)";
    tables.execute(later, ()).unwrap();
    let (code, out, error) = run(&["status", "--store", &store]);
    assert_eq!(out, "", "{error}");
    assert!(
        code.is_some_and(|code| [2, 5].contains(&code)),
        "{code:?}: {error}"
    );
    assert!(error.contains("99"), "{error}");
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let mut child = kser_command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
}

#[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
#[entrypoint("shop.Pack")]
struct Pack {}

#[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
#[entrypoint("shop.Send")]
struct Send {}

/// A command that goes on ends when its reader has gone: the run that it shows changes, and does not end.
#[tokio::test(flavor = "current_thread")]
async fn a_watch_ends_with_its_reader() {
    let store = format!("sqlite://{}", file("watch").display());
    let kser = kser::connect_with_store("memory://", &store).await.unwrap();
    let steps = vec![kser::Step::new(Pack {}), kser::Step::new(Send {})];
    let launch = kser.producer().launch_steps("shop.Order", steps);
    launch.with_id("order-7").await.unwrap();
    let mut child = kser_command(&["runs", "watch", "order-7", "--store", &store])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 20];
    let mut reader = child.stdout.take().unwrap();
    reader.read_exact(&mut line).unwrap();
    drop(reader);
    let registry = kser::Registry::new().task(async |_: Pack| ()).build();
    let consumer = kser.consumer(registry.unwrap()).spawn();
    for _ in 0..400 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Does nothing to a process that has ended.
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
    consumer.stop().await.unwrap();
}

#[test]
fn no_color_is_stronger_than_a_forced_one() {
    let store = format!("sqlite://{}", file("no_color").display());
    let status = [
        "status",
        "--store",
        &store,
        "--kafka",
        "kafka://127.0.0.1:1",
        "--timeout",
        "1s",
    ];
    let coloured = |no_color: bool| {
        let mut command = kser_command(&status);
        command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        String::from_utf8(command.output().unwrap().stdout)
            .unwrap()
            .contains('\u{1b}')
    };
    assert!(coloured(false) && !coloured(true));
}

#[test]
fn help_completions_and_the_manual_are_there() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(
        (code, out),
        (Some(0), format!("kser {}\n", env!("CARGO_PKG_VERSION")))
    );
    for (arguments, text) in [
        (&["--help"][..], "Exit codes:"),
        (&["letters", "replay", "--help"], "--canary <N>"),
        (&["completions", "fish"], "complete -c kser"),
        (&["man"], ".TH kser 1"),
    ] {
        let (code, out, _) = run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(out.contains(text), "{arguments:?}: {out}");
    }
    // No secret of the environment is in the help.
    let help = kser_command(&["--help"])
        .env("KSER_URL", "kafka://k?sasl.password=hunter2")
        .output();
    assert!(!String::from_utf8_lossy(&help.unwrap().stdout).contains("hunter2"));
}

#[test]
fn colours_are_asked_for() {
    let store = format!("sqlite://{}", file("colours").display());
    let coloured = |colour: &str| {
        let status = ["status", "--store", &store, "--color", colour];
        let arguments = [
            &status[..],
            &["--kafka", "kafka://127.0.0.1:1", "--timeout", "1s"],
        ];
        run(&arguments.concat()).1.contains('\u{1b}')
    };
    assert!(coloured("always") && !coloured("never") && !coloured("auto"));
}
