//! Signals, on a process of our own: requirements 17 and 19.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kser::{Entrypoint, Error, Registry};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::{Deserialize, Serialize};

/// Says which child this process is.
const CHILD: &str = "KSER_SIGNALS_CHILD";
/// How long a stop may take that does not end by itself.
const DEADLINE: Duration = Duration::from_secs(1);
/// Enough for what happens at once, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

fn main() {
    if let Ok(child) = std::env::var(CHILD) {
        be(&child);
        return;
    }
    let trials = vec![
        Trial::test("term_is_graceful", || term_is_graceful("-TERM")),
        Trial::test("int_means_the_same", || term_is_graceful("-INT")),
        Trial::test("two_at_once_are_one_request", two_at_once_are_one_request),
        Trial::test(
            "a_second_one_later_ends_at_once",
            a_second_one_later_ends_at_once,
        ),
        Trial::test(
            "one_after_the_consumer_has_ended_ends_at_once",
            one_after_the_consumer_has_ended_ends_at_once,
        ),
        Trial::test(
            "a_second_consumer_is_asked_first",
            a_second_consumer_is_asked_first,
        ),
        Trial::test(
            "a_stop_has_the_time_that_it_may_need",
            a_stop_has_the_time_that_it_may_need,
        ),
        Trial::test(
            "a_deadline_may_be_as_long_as_can_be_written",
            a_deadline_may_be_as_long_as_can_be_written,
        ),
        Trial::test("a_handler_that_never_yields_on_one_thread", || {
            never_yields("hog-one", "left behind: test.Hog[")
        }),
        Trial::test("handlers_that_never_yield_on_all_threads", || {
            never_yields("hog-all", "left behind: test.Hog[")
        }),
        Trial::test("blocking_tasks_that_never_end", || {
            never_yields("hog-blocking", "dropped: test.Hog[")
        }),
    ];
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, trials).exit();
}

fn term_is_graceful(signal: &str) -> Result<(), Failed> {
    let mut child = start("slow")?;
    send(&child, signal)?;
    let (status, output) = end(&mut child, LONG)?;
    expect(status.code() == Some(0), &format!("{status}"))?;
    // The task that ran was finished, and nothing was begun after it.
    expect(
        output.contains("finished") && output.contains("stopped: Ok"),
        &output,
    )
}

fn two_at_once_are_one_request() -> Result<(), Failed> {
    let mut child = start("slow")?;
    let id = child.id().to_string();
    let sent = Command::new("sh")
        .args(["-c", "kill -INT $0; kill -TERM $0", &id])
        .status()?;
    expect(sent.success(), "the signals are not sent")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code() == Some(0) && output.contains("finished"),
        &output,
    )
}

fn a_second_one_later_ends_at_once() -> Result<(), Failed> {
    let mut child = start("patient")?;
    send(&child, "-TERM")?;
    read_until(&mut child, "Consumer.Stopping...")?;
    std::thread::sleep(Duration::from_millis(1300));
    send(&child, "-TERM")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code().is_some_and(|code| code != 0),
        &format!("{status}: {output}"),
    )
}

/// The program goes on after its consumer: it can still be interrupted.
fn one_after_the_consumer_has_ended_ends_at_once() -> Result<(), Failed> {
    let mut child = start("lingering")?;
    send(&child, "-INT")?;
    read_until(&mut child, "stopped: Ok(())\n")?;
    std::thread::sleep(Duration::from_millis(1300));
    send(&child, "-INT")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(status.code() == Some(130), &format!("{status}: {output}"))
}

/// The program runs another consumer after the first, which has a stop of its own.
fn a_second_consumer_is_asked_first() -> Result<(), Failed> {
    let mut child = start("twice")?;
    send(&child, "-INT")?;
    read_until(&mut child, "running\n")?;
    std::thread::sleep(Duration::from_millis(1300));
    send(&child, "-INT")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code() == Some(0) && output.contains("finished"),
        &format!("{status}: {output}"),
    )
}

/// Its handler does not listen, and takes long to be dropped.
fn a_stop_has_the_time_that_it_may_need() -> Result<(), Failed> {
    let mut child = start("clumsy")?;
    send(&child, "-TERM")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code() == Some(0) && output.contains("stopped: Ok"),
        &format!("{status}: {output}"),
    )?;
    // It is given back, as in every deploy.
    expect(
        output.contains("dropped: test.Hog[") && !output.contains("ERROR"),
        &output,
    )
}

fn a_deadline_may_be_as_long_as_can_be_written() -> Result<(), Failed> {
    let mut child = start("unhurried")?;
    send(&child, "-TERM")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code() == Some(0) && output.contains("stopped: Ok") && !output.contains("panicked"),
        &format!("{status}: {output}"),
    )
}

fn never_yields(kind: &str, named: &str) -> Result<(), Failed> {
    let mut child = start(kind)?;
    send(&child, "-TERM")?;
    let (status, output) = end(&mut child, LONG)?;
    expect(
        status.code().is_some_and(|code| code != 0),
        &format!("{status}"),
    )?;
    expect(
        output.contains(named) && output.contains("the process is ended"),
        &output,
    )
}

fn expect(true_: bool, otherwise: &str) -> Result<(), Failed> {
    match true_ {
        true => Ok(()),
        false => Err(otherwise.to_owned().into()),
    }
}

/// Starts a child and waits until its task runs.
fn start(kind: &str) -> Result<Child, Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(CHILD, kind)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    read_until(&mut child, "running\n")?;
    Ok(child)
}

fn read_until(child: &mut Child, text: &str) -> Result<(), Failed> {
    let out = child.stdout.as_mut().ok_or("no output")?;
    let mut byte = [0];
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        out.read_exact(&mut byte)?;
        seen.push(byte[0]);
    }
    Ok(())
}

fn send(child: &Child, signal: &str) -> Result<(), Failed> {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()?;
    expect(sent.success(), "the signal is not sent")
}

/// Waits for the end of a child, and returns what it printed.
fn end(child: &mut Child, limit: Duration) -> Result<(ExitStatus, String), Failed> {
    let began = now();
    loop {
        if let Some(status) = child.try_wait()? {
            let out = child.stdout.take().ok_or("no output")?;
            let lines: Result<Vec<_>, _> = BufReader::new(out).lines().collect();
            return Ok((status, lines?.join("\n")));
        }
        if began.elapsed() > limit {
            child.kill()?;
            return Err(format!("it still lives after {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "a process of our own runs in real time"
    )]
    Instant::now()
}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Hog")]
struct Hog {}

/// What takes long to be dropped.
struct Clumsy;

impl Drop for Clumsy {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(800));
    }
}

/// Lives as a child until a signal ends it.
fn be(kind: &str) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .init();
    std::panic::set_hook(Box::new(|panic| println!("{panic}")));
    let mut builder = match kind {
        "hog-all" => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let stopped = runtime.block_on(work(kind.to_owned()));
    println!("stopped: {stopped:?}");
    match kind {
        "lingering" => std::thread::sleep(Duration::from_secs(3600)),
        "twice" => {
            let stopped = runtime.block_on(work(kind.to_owned()));
            println!("stopped: {stopped:?}");
        }
        _ => {}
    }
}

async fn work(kind: String) -> Result<(), Error> {
    let kser = kser::connect("memory://").await?;
    let hogs = if kind == "hog-all" { 2 } else { 1 };
    let deadline = match kind.as_str() {
        "unhurried" => Duration::MAX,
        // Their tasks end by themselves.
        "slow" | "twice" => LONG,
        _ => DEADLINE,
    };
    let hog = move |_: Hog| {
        let kind = kind.clone();
        async move {
            println!("running");
            let hour = Duration::from_secs(3600);
            match kind.as_str() {
                "lingering" => {}
                "slow" | "twice" | "unhurried" => {
                    tokio::time::sleep(Duration::from_millis(600)).await
                }
                "clumsy" => {
                    let _clumsy = Clumsy;
                    tokio::time::sleep(hour).await;
                }
                "patient" => tokio::time::sleep(hour).await,
                "hog-blocking" => {
                    let _ = tokio::task::spawn_blocking(move || std::thread::sleep(hour)).await;
                }
                _ => std::thread::sleep(hour),
            }
            println!("finished");
        }
    };
    let consumer = kser
        .consumer(Registry::new().task(hog).build()?)
        .with_signals();
    for _ in 0..hogs {
        kser.producer().send(Hog {}).await?;
    }
    consumer.with_shutdown_timeout(deadline).run().await
}
