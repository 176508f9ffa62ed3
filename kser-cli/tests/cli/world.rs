use kser::backend::{Record, Transport, headers};
use kser::client::{Client, Clock, Limits};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::run::Timestamp;
use kser_cli::args::Cli;
use kser_cli::{Exit, Output, Terminal};
use kser_ops::{Ops, Part};

use clap::Parser;

/// The time at which the tests look. It is before the clock of any machine, so that a record was published just now.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A client in memory behind the program.
pub(crate) struct World {
    pub(crate) transport: MemoryTransport,
    pub(crate) client: Client,
    pub(crate) ops: Ops,
}

/// The answer of the program.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) exit: Exit,
    pub(crate) error: Option<String>,
    pub(crate) asked: Option<String>,
    pub(crate) told: Vec<String>,
    pub(crate) noted: Vec<String>,
    pub(crate) progress: Vec<(u64, Option<u64>)>,
}

/// Stands for an operator at the terminal, with the answer that is typed.
struct Person {
    types: Option<String>,
    asked: Option<String>,
    told: Vec<String>,
    noted: Vec<String>,
    progress: Vec<(u64, Option<u64>)>,
}

impl Terminal for Person {
    fn ask(&mut self, shown: &str, question: &str) -> Option<String> {
        let types = self.types.take()?;
        self.asked = Some(format!("{shown}{question}"));
        Some(types)
    }

    fn tell(&mut self, line: &str) -> bool {
        self.told.push(line.to_owned());
        true
    }

    fn note(&mut self, line: &str) {
        self.noted.push(line.to_owned());
    }

    fn progress(&mut self, done: u64, of: Option<u64>) {
        self.progress.push((done, of));
    }

    fn end_progress(&mut self) {}
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(MemoryStore::new()).await
    }

    /// Makes a world whose store stands still in time.
    pub(crate) async fn still() -> Self {
        Self::on(MemoryStore::with_clock(Still)).await
    }

    /// Makes a world whose operators tell the time by the clock of the consumers.
    pub(crate) async fn live() -> Self {
        let mut world = Self::new().await;
        let ops = world.ops.clone();
        world.ops = ops.with_clock(kser::client::SystemClock::new());
        world
    }

    async fn on(store: MemoryStore) -> Self {
        let transport = MemoryTransport::with_largest_record(20_000_000);
        let mut limits = Limits::default();
        (limits.outcome, limits.message) = (20_000_000, 20_000_000);
        let builder = Client::builder(transport.clone()).store(store);
        let builder = builder.limits(limits);
        let client = builder.build().await.expect("a client");
        let part = |url: &str| Part::Open {
            url: url.to_owned(),
        };
        let ops = Ops::new(client.clone()).with_clock(Still);
        Self {
            ops: ops.with_parts(part("kafka://k1:9092"), part("postgres://db/kser")),
            transport,
            client,
        }
    }

    /// Writes the letters of two topics, with four causes.
    pub(crate) async fn with_letters(self) -> Self {
        let refused = |n: u64| format!("Refused (500): order {n} is refused (os error 111)");
        let mut letters: Vec<_> = (0..3)
            .map(|n| {
                let letter = letter(
                    "billing",
                    Some("billing.Charge"),
                    Some(500),
                    &refused(n),
                    2460 + n,
                );
                letter
                    .with_header(headers::RUN, format!("e01b77c9-{n}"))
                    .with_header(headers::STEP, "4")
            })
            .collect();
        let missing = "ValidationError (400): Missing parameter: currency";
        let once = letter(
            "billing",
            Some("billing.Charge"),
            Some(400),
            missing,
            259_200,
        );
        letters.push(once.with_header(headers::REPLAY, "1"));
        letters.push(letter(
            "billing",
            None,
            None,
            "cannot read the message: byte 118",
            18_000,
        ));
        let hostile = "\u{1b}]0;owned\u{7}\u{202e}txt.\nline \u{0}";
        letters.push(letter(
            "dice",
            Some("dice.Roll"),
            Some(500),
            hostile,
            590_400,
        ));
        self.transport
            .publish(letters)
            .await
            .expect("letters are written");
        self
    }

    /// Runs a command without a terminal.
    pub(crate) async fn kser(&self, line: &str) -> Answer {
        self.run(line, None, None).await
    }

    /// Runs a command on a terminal of this width.
    pub(crate) async fn wide(&self, line: &str, width: u16) -> String {
        self.run(line, Some(width), None).await.text
    }

    /// Runs a command on whose question a person types an answer.
    pub(crate) async fn typed(&self, line: &str, types: &str) -> Answer {
        self.run(line, None, Some(types.to_owned())).await
    }

    async fn run(&self, line: &str, width: Option<u16>, types: Option<String>) -> Answer {
        let arguments = ["kser"].into_iter().chain(line.split(' '));
        let Cli {
            global, command, ..
        } = Cli::try_parse_from(arguments).expect("arguments");
        let mut out = Output::new(global.json, width, NOW);
        let mut person = Person {
            types,
            asked: None,
            told: Vec::new(),
            noted: Vec::new(),
            progress: Vec::new(),
        };
        let ended = kser_cli::run(command, &self.ops, &mut out, &mut person).await;
        let is_json = out.is_json();
        let text = anstream::adapter::strip_str(&out.into_text()).to_string();
        if is_json && ended.is_ok() {
            // An export tells its document piece by piece.
            let document = text.clone() + &person.told.join("\n");
            super::schema::check(line, &document);
        }
        let error = ended.as_ref().err().map(ToString::to_string);
        Answer {
            exit: ended.unwrap_or_else(|error| Exit::of(&error)),
            text,
            error,
            asked: person.asked,
            told: person.told,
            noted: person.noted,
            progress: person.progress,
        }
    }

    /// Counts the dead letters of a topic.
    pub(crate) async fn letters(&self, topic: &str) -> usize {
        let answer = self
            .kser(&format!("letters ls {topic} -n 100000 --json"))
            .await;
        let letters: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        letters.as_array().expect("a list").len()
    }
}

/// Makes a dead letter of a topic, which failed this many seconds ago.
pub(crate) fn letter(
    topic: &str,
    entrypoint: Option<&str>,
    code: Option<i64>,
    error: &str,
    ago: u64,
) -> Record {
    let failed = (NOW.as_millis() - ago * 1000).to_string();
    let name = Topic::new(format!("{topic}.dlt")).expect("a topic");
    let mut record = Record::new(name, Some("{\"card\":\"4711\"}".into()))
        .with_header(headers::ERROR, error.to_owned())
        .with_header(headers::ATTEMPTS, "3")
        .with_header(headers::GROUP, format!("kser.{topic}"))
        .with_header(headers::ORIGIN, format!("{topic}/3/81220"))
        .with_header(headers::FIRST_FAILED, failed.clone())
        .with_header(headers::LAST_FAILED, failed);
    if let Some(entrypoint) = entrypoint {
        record = record.with_header(headers::ENTRYPOINT, entrypoint.to_owned());
    }
    if let Some(code) = code {
        record = record.with_header(headers::CODE, code.to_string());
    }
    record
}
