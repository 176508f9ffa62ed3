use std::collections::BTreeMap;
use std::time::Duration;

use kser::postgres::PostgresStore;
use kser::{Client, Run, Status, Step};

use crate::process::{Consumer, Note, Process, micros, seconds};
use crate::setup::{Setup, Work, text};

const OPERATIONS: usize = 500;
const STEPS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);
/// What has not ended then is lost.
const LIMIT: Duration = Duration::from_secs(60);

/// The only consumer is killed (`kill -9`) in the middle of operations, and started again at once.
pub(crate) fn run(setup: &Setup) {
    run_with(setup, "");
    let postgres = test_services::postgres();
    run_with(
        setup,
        &format!("{}?schema=bench_{}", postgres.url(), micros()),
    );
}

/// Kills the consumer of a client whose runs are in a store, or in their messages where the URL of the store is empty.
fn run_with(setup: &Setup, store: &str) {
    for name in ["", "only"] {
        let connect = async {
            if store.is_empty() {
                return setup.connect(6).await;
            }
            let kept = PostgresStore::open(store).await.expect("the server runs");
            setup.connect_as(6, |builder| builder.store(kept)).await
        };
        let (kser, prefix) = setup.runtime.block_on(connect);
        let consumer = Consumer::new(setup.url(&prefix)).with_store(store);
        let consumer = consumer.with_instance(name).with_pause(PAUSE);
        let mut before = Vec::new();
        let runs = setup.runtime.block_on(launch(&kser));
        let first = consumer.start();
        while before.len() < OPERATIONS * STEPS {
            before.push(first.next());
        }
        before.extend(first.kill());
        let killed = micros();
        let second = consumer.start();
        let (lost, ended) = setup.runtime.block_on(lost(&runs));
        let after = all_of(second);
        let goes_on = after
            .first()
            .map_or(f64::NAN, |note| seconds(killed, note.at));
        let name = if name.is_empty() { "without" } else { "with" };
        let kept = if store.is_empty() {
            "in messages"
        } else {
            "on PostgreSQL"
        };
        println!(
            "kill -9 in the middle of {OPERATIONS} operations of {STEPS} steps of {} ms, {kept}, {name} an instance name: {lost} lost, \
             goes on after {goes_on:.2} s, all is done after {:.2} s; {}",
            PAUSE.as_millis(),
            seconds(killed, ended),
            Doubles::of(&before, &after, killed),
        );
    }
}

async fn launch(kser: &Client) -> Vec<Run> {
    let mut runs = Vec::new();
    for operation in 0..OPERATIONS {
        let steps = (0..STEPS).map(|step| {
            Step::new(Work {
                number: (operation * STEPS + step) as u32,
                text: text(),
            })
        });
        let launched = kser.producer().launch_steps("work.Three", steps.collect());
        runs.push(launched.await.expect("it is sent"));
    }
    runs
}

/// Waits until all have ended, and counts those that do not, or not well.
async fn lost(runs: &[Run]) -> (usize, u64) {
    // Side by side: a store looks a moment after a wait began.
    let wait = |run: &Run| {
        let run = run.clone();
        tokio::spawn(async move { run.wait_timeout(LIMIT).await })
    };
    let waits: Vec<_> = runs.iter().map(wait).collect();
    let mut lost = 0;
    for wait in waits {
        let ended = wait.await.expect("no panic");
        lost += usize::from(!ended.is_ok_and(|state| state.status == Status::Success));
    }
    (lost, micros())
}

/// What runs again does so until after the operations have ended.
fn all_of(process: Process) -> Vec<Note> {
    std::thread::sleep(Duration::from_secs(2));
    process.kill()
}

/// Why steps ran twice.
#[derive(Default)]
struct Doubles {
    in_flight: usize,
    /// They were done, and nobody had written that down yet.
    done: usize,
    /// The longest time between that and the kill, in milliseconds.
    oldest: f64,
    following: usize,
    other: usize,
}

impl Doubles {
    fn of(before: &[Note], after: &[Note], killed: u64) -> Self {
        let mut all = Self::default();
        let [began, done] = [false, true].map(|is_done| {
            let notes = before.iter().filter(|note| note.is_done == is_done);
            notes
                .map(|note| (note.number, note.at))
                .collect::<BTreeMap<_, _>>()
        });
        let mut again = BTreeMap::new();
        for note in after.iter().filter(|note| !note.is_done) {
            *again.entry(note.number).or_insert(0) += 1;
        }
        for (number, runs) in &again {
            let is_first = number % STEPS as u32 == 0;
            let follows =
                !is_first && began.contains_key(number) && again.contains_key(&(number - 1));
            match (began.get(number), done.get(number)) {
                // It ran twice after the kill.
                (None, _) => all.following += runs - 1,
                (Some(_), _) if follows => all.following += runs,
                (Some(_), None) => {
                    all.in_flight += 1;
                    all.other += runs - 1;
                }
                (Some(_), Some(at)) => {
                    all.done += 1;
                    all.oldest = all.oldest.max(seconds(*at, killed) * 1e3);
                    all.other += runs - 1;
                }
            }
        }
        all
    }
}

impl std::fmt::Display for Doubles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.in_flight + self.done + self.following + self.other;
        write!(
            f,
            "{all} steps ran twice: {} in flight, {} done up to {:.0} ms before, {} that followed, {} others",
            self.in_flight, self.done, self.oldest, self.following, self.other
        )
    }
}
