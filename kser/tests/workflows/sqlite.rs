//! Runs in a file of SQLite outlive the processes that run them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser::encryption::{Encryption, KeyRing};
use kser::run::RunId;
use kser::sqlite::SqliteStore;
use kser::{Client, Context, Error, Registry, Status, Step, TaskError};
use tokio::task::JoinHandle;

use crate::common::{Diary, Game, Note, note};
use crate::faulty::{CallLoss, Deaf};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A file of its own for a test, removed with it.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new() -> Self {
        let name = format!(
            "{}-{}.db",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.0
    }

    /// Connects as a process does that has just started: its transport has no record.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let store = SqliteStore::open(&self.0).await?;
        Client::builder_from_url("memory://")
            .store(store)
            .build()
            .await
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

/// A game of notes, whose handler hangs at the note `hangs`.
pub(crate) fn registry(diary: &Diary, hangs: &'static str) -> Result<Registry, Error> {
    let diary = diary.clone();
    let note = move |ctx: Context, note: Note| {
        let diary = diary.clone();
        async move {
            diary.note(format!("{} {}", note.text, ctx.idempotency_key()));
            if note.text == hangs {
                std::future::pending::<()>().await;
            }
            note.text
        }
    };
    let game = |game: Game| async move {
        let notes = game.notes.iter().map(|text| Step::new(self::note(text)));
        Ok::<_, TaskError>(notes.collect::<Vec<_>>())
    };
    Registry::new().operation(game).task(note).build()
}

/// Runs a consumer as the named instance. Aborting it is a crash: nothing is settled or given back.
pub(crate) fn consume(client: &Client, registry: Registry) -> JoinHandle<Result<(), Error>> {
    let consumer = client.consumer(registry).with_instance("worker");
    tokio::spawn(async move { consumer.run().await.map(drop) })
}

pub(crate) fn game() -> Game {
    let notes = ["a", "b", "c"].map(str::to_owned);
    Game {
        notes: notes.into(),
    }
}

/// Begins a run, and crashes in the middle of its second step.
async fn crash_at_b(file: &File, diary: &Diary) -> Result<RunId, Error> {
    let client = file.client().await?;
    let consumer = consume(&client, registry(diary, "b")?);
    let run = client.producer().launch(game()).with_id("game").await?;
    let id = run.id().clone();
    while diary.read().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    consumer.abort();
    let _ = consumer.await;
    Ok(id)
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_after_a_crash_where_it_was() -> Result<(), Error> {
    let (file, diary) = (File::new(), Diary::default());
    let id = crash_at_b(&file, &diary).await?;

    let client = file.client().await?;
    assert_eq!(client.runs().status(&id).await?.status, Status::Running);
    let began = tokio::time::Instant::now();
    let consumer = consume(&client, registry(&diary, "")?);
    let ended = client.runs().wait(&id).await?;
    assert_eq!(
        (ended.status, ended.outcome.message()),
        (Status::Success, "c")
    );
    // A sweep finds it after half a minute, the length of the lease.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    consumer.abort();

    let done = diary.read();
    let notes: Vec<&str> = done.iter().map(|note| &note[..1]).collect();
    assert_eq!(notes, ["a", "b", "b", "c"]);
    assert_eq!(done[1], done[2], "both attempts have one idempotency key");
    let accepted = client.runs().outcomes(&id).await?;
    let accepted: Vec<_> = accepted.iter().map(|outcome| outcome.message()).collect();
    assert_eq!(accepted, ["a", "b", "c"], "each step is accepted once");
    Ok(())
}

/// The crashes of the processes are counted in the file.
#[tokio::test(start_paused = true)]
async fn a_step_that_kills_its_process_three_times_fails_its_run() -> Result<(), Error> {
    let (file, diary) = (File::new(), Diary::default());
    let id = crash_at_b(&file, &diary).await?;
    let begun = || {
        let done = diary.read();
        done.iter().filter(|note| note.starts_with("b ")).count()
    };
    for crashes in 2..=3 {
        let client = file.client().await?;
        let consumer = consume(&client, registry(&diary, "b")?);
        while begun() < crashes {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        consumer.abort();
        let _ = consumer.await;
    }
    let client = file.client().await?;
    let consumer = consume(&client, registry(&diary, "b")?);
    let ended = client.runs().wait(&id).await?;
    assert_eq!((ended.status, begun()), (Status::Failed, 3), "{ended:?}");
    let lost = client.runs().all_attempts(&id).await?;
    let lost = lost.iter().filter(|attempt| attempt.position == 2).count();
    assert_eq!(lost, 3, "each of them has its row");
    let mut dead_letters = client.dead_letters("test").await?;
    let letter = dead_letters.next().await?;
    assert!(letter.message()?.params.as_str().contains("\"b\""));
    letter.keep();
    consumer.abort();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_id_is_one_run_for_all_clients_of_a_file() -> Result<(), Error> {
    let (file, diary) = (File::new(), Diary::default());
    let (here, there) = (file.client().await?, file.client().await?);
    let consumer = consume(&here, registry(&diary, "")?);
    let run = here.producer().launch(game()).with_id("game").await?;
    run.result().await?;
    // Another process: its transport has never had a record of the run.
    let again = there.producer().launch(game()).with_id("game").await?;
    assert_eq!(again.result().await?.message(), "c");
    let other = there.producer().launch(Game { notes: Vec::new() });
    let other = other.with_id("game").await;
    assert!(matches!(other, Err(Error::Conflict { .. })), "{other:?}");
    assert_eq!(diary.read().len(), 3);
    consumer.abort();
    Ok(())
}

/// The rows of an encrypted run are envelopes, which another process opens with the same keys.
#[tokio::test]
async fn an_encrypted_run_leaves_no_text_in_the_file() -> Result<(), Error> {
    let file = File::new();
    let connect = || async {
        let keys = KeyRing::parse("a:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")?;
        let store = SqliteStore::open(&file.0).await?;
        let builder = Client::builder_from_url("memory://").store(store);
        builder.encryption(Encryption::new(keys)).build().await
    };
    let secret = "a word that no file may show";
    let kser = connect().await?;
    let consumer = kser.consumer(registry(&Diary::default(), "")?).spawn();
    let game = Game {
        notes: vec![secret.to_owned()],
    };
    let run = kser.producer().launch(game).with_id("run-1").await?;
    assert_eq!(run.result().await?.message(), secret);
    consumer.stop().await?;
    for end in ["", "-wal"] {
        let bytes = std::fs::read(format!("{}{end}", file.0.display())).unwrap_or_default();
        let shown = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!shown, "{end}");
    }
    let other = connect().await?;
    let outcomes = other.runs().outcomes(&"run-1".into()).await?;
    assert_eq!(outcomes.last().unwrap().message(), secret);
    Ok(())
}

/// Each call of the store that moves a run of three steps is lost once: it is not carried out, or its answer does not come.
#[tokio::test(start_paused = true)]
async fn each_call_of_a_run_on_a_file_may_be_lost() -> Result<(), Error> {
    let (file, diary) = (File::new(), Diary::default());
    let store = Deaf::new(SqliteStore::open(file.path()).await?);
    let client = Client::builder_from_url("memory://").store(store.clone());
    let client = client.build().await?;
    let consumer = consume(&client, registry(&diary, "")?);
    for loss in [CallLoss::Question, CallLoss::Answer] {
        let mut number = 0;
        loop {
            let id = RunId::from(format!("{loss:?} {number}"));
            let noted = diary.read().len();
            store.lose_call(number, loss);
            // The call of the caller may be the one that is lost.
            while let Err(error) = client.producer().launch(game()).with_id(id.clone()).await {
                assert!(
                    error.is_temporary() || matches!(error, Error::MaybeSent { .. }),
                    "{error}"
                );
            }
            while let Err(error) = client.runs().wait(&id).await {
                assert!(error.is_temporary(), "{error}");
            }
            let has_lost = store.has_lost_call();
            store.lose_call(i64::MAX, loss);
            let done = client.runs().status(&id).await?;
            assert_eq!(done.outcome.message(), "c");
            let attempts = client.runs().all_attempts(&id).await?;
            let accepted: Vec<_> = attempts
                .iter()
                .map(|one| (one.position, one.status))
                .collect();
            let success = |position| (position, Status::Success);
            assert_eq!(accepted, [0, 1, 2, 3].map(success), "{id}");
            let notes = diary.read().split_off(noted);
            let notes: Vec<&str> = notes.iter().map(|note| &note[..1]).collect();
            assert_eq!(notes, ["a", "b", "c"], "each step ran once: {id}");
            if !has_lost {
                break;
            }
            number += 1;
        }
        assert!(number >= 6, "a run has more calls than {number}");
    }
    consumer.abort();
    Ok(())
}

/// The runs that end meanwhile hide none of the others from the consumer that looks for the runs of an earlier process.
#[tokio::test(start_paused = true)]
async fn all_of_many_runs_go_on_at_once_after_a_crash() -> Result<(), Error> {
    const RUNS: usize = 250;
    let (file, diary) = (File::new(), Diary::default());
    let client = file.client().await?;
    let id = |number: usize| RunId::from(format!("game {number}"));
    let mut launches = tokio::task::JoinSet::new();
    for number in 0..RUNS {
        let launch = client.producer().launch(game()).with_id(id(number));
        launches.spawn(async move { launch.await.map(drop) });
    }
    while let Some(launched) = launches.join_next().await {
        launched.unwrap()?;
    }
    // The next process begins later than the last launch.
    tokio::time::sleep(Duration::from_millis(10)).await;

    let client = file.client().await?;
    let began = tokio::time::Instant::now();
    let consumer = consume(&client, registry(&diary, "")?);
    for number in 0..RUNS {
        assert_eq!(
            client.runs().wait(&id(number)).await?.status,
            Status::Success
        );
    }
    // A sweep finds a run after a minute.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    consumer.abort();
    Ok(())
}
