//! A monitor over the transport in memory: its metrics, its probes over HTTP, and the files for operators.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kser::memory::MemoryStore;
use kser::observer::{Observation, Observer as _, StoreAnswer};
use kser::{Client, Entrypoint, Registry, RetryPolicy, Step, TaskError};
use kser_observe::{MetricsFormat, Monitor, Server};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    fails: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
struct DiceLaunch {
    rolls: usize,
}

async fn roll(roll: DiceRoll) -> Result<String, TaskError> {
    match roll.fails {
        true => Err(TaskError::temporary("Table", "the table is on fire")),
        false => Ok("You made a 4".to_owned()),
    }
}

fn registry() -> Result<Registry, kser::Error> {
    let twice = RetryPolicy::exponential(2, Duration::from_millis(1));
    let build = |launch: DiceLaunch| async move {
        let roll = || Step::new(DiceRoll { fails: false });
        Ok::<_, TaskError>((0..launch.rolls).map(|_| roll()).collect::<Vec<_>>())
    };
    let roll = kser::IntoTask::with_retry(roll, twice);
    Registry::new().task(roll).operation(build).build()
}

/// Waits until the metrics have a line.
async fn line(monitor: &Monitor, line: &str) {
    for _ in 0..3000 {
        if lines(monitor).contains(line) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("no line {line:?} in {:#?}", lines(monitor));
}

fn lines(monitor: &Monitor) -> BTreeSet<String> {
    let text = monitor.metrics(MetricsFormat::Prometheus);
    text.lines().map(str::to_owned).collect()
}

/// Answers of a server: the status, the headers, and the body.
async fn get(server: &Server, path: &str, accept: &str) -> Tested<(u16, String, String)> {
    let mut stream = TcpStream::connect(server.address()).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: here\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no body")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, head.to_lowercase(), body.to_owned()))
}

async fn probe(server: &Server, path: &str) -> Tested<(u16, String)> {
    let (status, _, body) = get(server, path, "*/*").await?;
    Ok((status, body))
}

#[tokio::test]
async fn the_counts_of_tasks_and_runs_are_true() -> Tested {
    let monitor = Monitor::new().with_hostname("h");
    let builder = Client::builder_from_url("memory://").observer(monitor.clone());
    let kser = builder.build().await?;
    let consumer = kser.consumer(registry()?).spawn();
    let producer = kser.producer();
    producer
        .launch(DiceLaunch { rolls: 3 })
        .await?
        .wait()
        .await?;
    producer.send(DiceRoll { fails: true }).await?;
    // Three steps; the build; a lone task of two attempts.
    for expected in [
        "kser_task_result_total{hostname=\"h\",name=\"dice.DiceRoll\",status=\"SUCCESS\"} 3",
        "kser_task_result_total{hostname=\"h\",name=\"dice.DiceRoll\",status=\"FAILED\"} 2",
        "kser_task_result_total{hostname=\"h\",name=\"dice.DiceLaunch\",status=\"SUCCESS\"} 1",
        "kser_task_count 6.0",
        "kser_attempts_total{entrypoint=\"dice.DiceRoll\",outcome=\"success\"} 3",
        "kser_attempts_total{entrypoint=\"dice.DiceRoll\",outcome=\"retried\"} 1",
        "kser_attempts_total{entrypoint=\"dice.DiceRoll\",outcome=\"failed\"} 1",
        "kser_attempt_duration_seconds_count{entrypoint=\"dice.DiceRoll\",outcome=\"success\"} 3",
        "kser_attempt_duration_seconds_count{entrypoint=\"dice.DiceRoll\",outcome=\"failure\"} 2",
        "kser_attempt_duration_seconds_bucket{entrypoint=\"dice.DiceRoll\",outcome=\"success\",le=\"+Inf\"} 3",
        "kser_attempts_running{entrypoint=\"dice.DiceRoll\"} 0.0",
        "kser_runs_launched_total{operation=\"dice.DiceLaunch\"} 1",
        "kser_runs_ended_total{operation=\"dice.DiceLaunch\",status=\"SUCCESS\"} 1",
        "kser_dead_letters_total{topic=\"dice\",reason=\"failed\"} 1",
        "kser_dead_letters_total{topic=\"dice\",reason=\"not_run\"} 0",
        // The build, three steps, and the first attempt of the lone task.
        "kser_step_wait_seconds_count{entrypoint=\"dice.DiceRoll\"} 4",
        "kser_published_records_total 2",
        "kser_publish_failures_total 0",
        "kser_consumers{state=\"running\"} 1.0",
        "kser_group_joined{group=\"kser.dice\"} 1.0",
        "kser_group_lag_records{group=\"kser.dice\"} 0.0",
    ] {
        line(&monitor, expected).await;
    }
    let text = monitor.metrics(MetricsFormat::Prometheus);
    assert!(!text.contains("_created"), "{text}");
    consumer.stop().await?;
    line(&monitor, "kser_consumers{state=\"stopped\"} 1.0").await;
    Ok(())
}

#[tokio::test]
async fn verbs_and_failed_runs_are_counted() -> Tested {
    let monitor = Monitor::new();
    let builder = Client::builder_from_url("memory://").observer(monitor.clone());
    let kser = builder.build().await?;
    let consumer = kser.consumer(registry()?).spawn();
    let steps = vec![Step::new(DiceRoll { fails: true })];
    let run = kser.producer().launch_steps("dice.Unknown", steps).await?;
    assert!(run.wait().await.is_ok());
    kser.runs().resume(run.id()).await?;
    for expected in [
        // A name that no consumer registers.
        "kser_runs_launched_total{operation=\"other\"} 1",
        "kser_runs_ended_total{operation=\"other\",status=\"FAILED\"} 2",
        "kser_repairs_total{operation=\"other\",verb=\"resume\"} 1",
        "kser_dead_letters_total{topic=\"dice\",reason=\"failed\"} 2",
    ] {
        line(&monitor, expected).await;
    }
    consumer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_metrics_are_served_in_both_formats() -> Tested {
    let server = Monitor::new().without_python_names().serve("127.0.0.1:0")?;
    let (status, head, body) = get(&server, "/metrics", "text/plain").await?;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("# TYPE kser_published_records_total counter"),
        "{body}"
    );
    assert!(!body.contains("kser_task"), "{body}");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
    let (_, head, body) = get(&server, "/metrics", accept).await?;
    assert!(
        head.contains("content-type: application/openmetrics-text"),
        "{head}"
    );
    assert!(
        body.contains("# TYPE kser_published_records counter"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
    assert_eq!(get(&server, "/", "*/*").await?.0, 404);
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_probes_tell_how_a_consumer_lives() -> Tested {
    let monitor = Monitor::new();
    let server = monitor.serve("127.0.0.1:0")?;
    let starts = (503, "no_consumer: 0 of 1 consumers run\n".to_owned());
    assert_eq!(probe(&server, "/startupz").await?, starts);
    assert_eq!(probe(&server, "/readyz").await?, starts);
    assert_eq!(probe(&server, "/livez").await?, (200, "ok\n".to_owned()));
    let builder = Client::builder_from_url("memory://").observer(monitor.clone());
    let kser = builder.build().await?;
    let consumer = kser.consumer(registry()?).spawn();
    until(&server, "/readyz", "ok").await?;
    until(&server, "/startupz", "ok").await?;
    let handle = consumer.handle();
    handle.pause();
    until(&server, "/readyz", "paused: ").await?;
    handle.resume();
    until(&server, "/readyz", "ok").await?;
    let (status, body) = probe(&server, "/healthz").await?;
    let health: serde_json::Value = serde_json::from_str(&body)?;
    assert_eq!(status, 200);
    assert_eq!(health["ready"], true);
    assert_eq!(health["not_ready"], serde_json::json!([]));
    assert_eq!(health["consumers"][0]["state"], "running");
    assert_eq!(health["consumers"][0]["transport"][0]["group"], "kser.dice");
    consumer.stop().await?;
    until(&server, "/readyz", "no_consumer: ").await?;
    assert_eq!(probe(&server, "/livez").await?.0, 200);
    assert_eq!(probe(&server, "/startupz").await?.0, 200);
    Ok(())
}

/// Waits until a probe answers with a body that begins so.
async fn until(server: &Server, path: &str, begins: &str) -> Tested {
    let mut last = (0, String::new());
    for _ in 0..1500 {
        last = probe(server, path).await?;
        if last.1.starts_with(begins) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{path} answers {last:?}").into())
}

#[test]
fn handlers_that_block_their_runtime_are_told_by_livez() -> Tested {
    let monitor = Monitor::new().with_stuck_after(Duration::from_secs(2));
    let server = monitor.serve("127.0.0.1:0")?;
    let (blocks, free) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (blocking, freed) = (Arc::clone(&blocks), Arc::clone(&free));
    let program = move || -> Result<(), kser::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime starts").block_on(async move {
            let builder = Client::builder_from_url("memory://").observer(monitor);
            let kser = builder.build().await?;
            let roll = move |_: DiceRoll| {
                let (blocking, freed) = (Arc::clone(&blocking), Arc::clone(&freed));
                async move {
                    blocking.store(true, Ordering::Relaxed);
                    while !freed.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            };
            let consumer = kser.consumer(Registry::new().task(roll).build()?);
            let consumer = consumer.spawn();
            // One look at the consumer comes before.
            sleep(Duration::from_millis(1500)).await;
            kser.producer().send(DiceRoll { fails: false }).await?;
            sleep(Duration::from_secs(3)).await;
            consumer.stop().await
        })
    };
    let program = std::thread::spawn(program);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        while !blocks.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(10)).await;
        }
        until(&server, "/livez", "stuck: ").await?;
        free.store(true, Ordering::Relaxed);
        until(&server, "/livez", "ok").await
    })?;
    program.join().expect("the program ends")?;
    Ok(())
}

/// Dead letters and consumers of all processes are looked at, and nothing is taken.
#[tokio::test]
async fn dead_letters_and_announced_consumers_are_watched() -> Tested {
    let monitor = Monitor::new();
    let kser = kser::connect("memory://").await?;
    let consumer = kser.consumer(registry()?).spawn();
    kser.producer().send(DiceRoll { fails: true }).await?;
    while kser.announced_consumers().await?.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let mut letters = kser.dead_letters("dice").await?;
    let letter = letters.next().await?;
    let watching = monitor.watch(&kser);
    for expected in [
        "kser_letters_waiting{topic=\"dice\"} 1.0",
        "kser_announced_consumers{state=\"running\"} 1.0",
        "kser_announced_consumers{state=\"silent\"} 0.0",
    ] {
        line(&monitor, expected).await;
    }
    let names = lines(&monitor);
    let shows = |name: &str| names.iter().any(|line| line.starts_with(name));
    assert!(
        shows("kser_letter_oldest_seconds{topic=\"dice\"} "),
        "{names:#?}"
    );
    assert!(shows("kser_watch_age_seconds "), "{names:#?}");
    // In memory they are kept for ever.
    assert!(!shows("kser_letters_retention_seconds{"), "{names:#?}");
    letter.discard().await?;
    drop(watching);
    line(&monitor, "kser_letters_waiting{topic=\"dice\"} 1.0").await;
    let _again = monitor.watch(&kser);
    line(&monitor, "kser_letters_waiting{topic=\"dice\"} 0.0").await;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

/// Calls to the state store are counted and timed, those that fail and writes in conflict too, and the backlog and the open runs are
/// looked at.
#[tokio::test]
async fn the_state_store_and_the_backlog_are_measured() -> Tested {
    let monitor = Monitor::new();
    let builder = Client::builder_from_url("memory://").store(MemoryStore::new());
    let kser = builder.observer(monitor.clone()).build().await?;
    let consumer = kser.consumer(registry()?).spawn();
    let producer = kser.producer();
    producer
        .launch(DiceLaunch { rolls: 2 })
        .await?
        .wait()
        .await?;
    // The build and the first step are one write each; the second step began with the end of the first.
    line(
        &monitor,
        "kser_store_duration_seconds_count{call=\"insert\",outcome=\"done\"} 1",
    )
    .await;
    let swaps = |lines: BTreeSet<String>| {
        let of = "kser_store_duration_seconds_count{call=\"swap\",outcome=\"done\"} ";
        lines
            .iter()
            .find_map(|line| line.strip_prefix(of)?.parse::<u64>().ok())
    };
    assert!(swaps(lines(&monitor)) >= Some(3), "{:#?}", lines(&monitor));
    line(&monitor, "kser_store_conflicts_total 0").await;
    line(
        &monitor,
        "kser_step_wait_seconds_count{entrypoint=\"dice.DiceRoll\"} 2",
    )
    .await;
    consumer.stop().await?;
    let steps = vec![Step::new(DiceRoll { fails: false })];
    producer.launch_steps("dice.Waits", steps).await?;
    // Of a name whose topic has no consumer.
    let _watching = monitor.watch(&kser);
    for expected in [
        "kser_runs_open{status=\"running\"} 1.0",
        "kser_runs_open{status=\"failed\"} 0.0",
        "kser_partition_lag_records{topic=\"dice\",group=\"kser.dice\",partition=\"0\"} 1.0",
    ] {
        line(&monitor, expected).await;
    }
    let begins =
        "kser_partition_oldest_seconds{topic=\"dice\",group=\"kser.dice\",partition=\"0\"} ";
    assert!(lines(&monitor).iter().any(|line| line.starts_with(begins)));
    Ok(())
}

/// A store whose calls fail, and one whose run has changed, are told from others.
#[tokio::test]
async fn a_store_that_fails_is_counted() -> Tested {
    let monitor = Monitor::new();
    let observe = |answer| {
        let duration = Duration::from_millis(3);
        let call = "swap";
        monitor.observe(&Observation::StoreCalled {
            call,
            answer,
            duration,
        });
    };
    observe(StoreAnswer::Done);
    observe(StoreAnswer::Failed);
    observe(StoreAnswer::Conflict);
    for expected in [
        "kser_store_duration_seconds_count{call=\"swap\",outcome=\"done\"} 2",
        "kser_store_duration_seconds_count{call=\"swap\",outcome=\"failed\"} 1",
        "kser_store_conflicts_total 1",
    ] {
        line(&monitor, expected).await;
    }
    Ok(())
}

/// A settle is measured, also one whose outputs the transport takes without being awaited, and a record that is no message has its reason.
#[tokio::test]
async fn settles_and_the_reasons_of_dead_letters_are_measured() -> Tested {
    let monitor = Monitor::new();
    let builder = Client::builder_from_url("memory://").observer(monitor.clone());
    let kser = builder.build().await?;
    let consumer = kser.consumer(registry()?).spawn();
    kser.producer().send_bytes("dice", "no message").await?;
    line(
        &monitor,
        "kser_dead_letters_total{topic=\"dice\",reason=\"not_run\"} 1",
    )
    .await;
    line(
        &monitor,
        "kser_settle_duration_seconds_count{topic=\"dice\"} 1",
    )
    .await;
    let mut letters = kser.dead_letters("dice").await?;
    letters.next().await?.renew().await?;
    letters.next().await?.discard().await?;
    letters.close().await?;
    for how in ["renewed", "discarded"] {
        let expected = format!("kser_letters_settled_total{{topic=\"dice\",how=\"{how}\"}} 1");
        line(&monitor, &expected).await;
    }
    Ok(consumer.stop().await?)
}

/// Finds the names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("kser_"));
    ours.map(str::to_owned).collect()
}

/// Lists the names of the series that are exported.
fn exported() -> BTreeSet<String> {
    let text = Monitor::new().metrics(MetricsFormat::Prometheus);
    let mut exported = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        match kind {
            "histogram" => {
                exported.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
            }
            _ => drop(exported.insert(name.to_owned())),
        }
    }
    exported
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() -> Tested {
    let exported = exported();
    assert!(
        exported.contains("kser_attempt_duration_seconds_bucket"),
        "{exported:?}"
    );
    let files = [
        ("alerts.yaml", include_str!("../ops/alerts.yaml")),
        ("dashboard.json", include_str!("../ops/dashboard.json")),
    ];
    for (file, text) in files {
        let unknown: Vec<_> = names(text).difference(&exported).cloned().collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
        assert!(names(text).len() > 10, "{file}: {:?}", names(text));
    }
    let dashboard: serde_json::Value = serde_json::from_str(files[1].1)?;
    let panels = dashboard["panels"].as_array().ok_or("no panels")?;
    assert!(
        panels
            .iter()
            .all(|panel| panel["targets"][0]["expr"].is_string())
    );
    Ok(())
}

#[test]
fn the_readme_lists_all_metrics() {
    let listed = names(include_str!("../README.md"));
    let text = Monitor::new().metrics(MetricsFormat::Prometheus);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families = types.filter_map(|line| line.split(' ').next().map(str::to_owned));
    let families: BTreeSet<_> = families.collect();
    let unlisted: Vec<_> = families.difference(&listed).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    let unknown = listed
        .difference(&families)
        .filter(|name| *name != "kser_observe");
    let unknown: Vec<_> = unknown.collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(families.len() >= 25, "{}", families.len());
}
