use std::fmt;
use std::str::FromStr;

use crate::json::decode_error::DecodeError;
use crate::json::members::{Key, Members};
use crate::json::scan::Scanner;
use crate::json::text::{Text, write_string};
use crate::outcome::id;
use crate::{Fields, Name, Raw, RunId, StoreId, Timestamp, Topic};

/// The data that kser adds to a message, in `metadata.kser`: all that the next step needs. A Python consumer passes it on
/// unchanged.
///
/// Fields that later versions of kser add are passed on, too.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// The run of which the message is a step, or which it launches.
    pub run: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The position of the step, counted from 1; 0 is the launch.
    pub step: u32,
    /// The number of steps; 0 while it is unknown.
    pub of: u32,
    /// The place of the state, and the guarantee.
    pub mode: Mode,
    /// The version of the progress from which the message was written.
    pub version: u64,
    /// The stamp of that version, see [`Progress::stamp`](crate::sequencing::Progress::stamp); 0 for none.
    pub stamp: u64,
    /// The life of the run, see [`Progress::life`](crate::sequencing::Progress::life); 0 for none.
    pub life: u64,
    /// Stored: the store that knows the run.
    pub store: Option<StoreId>,
    /// Carried: the steps still to come.
    pub plan: Option<Raw>,
    /// Whether the message launches a run.
    pub launch: bool,
    /// An external step: the topic to which its end is reported.
    pub reply: Option<Topic>,
    /// Carried, an external step: the step as it was sent, see [`SentStep`](crate::sequencing::SentStep).
    pub sent: Option<Raw>,
    /// The topic in which reports of external steps of the run are read, if it is not the topic of its name.
    pub home: Option<Topic>,
    /// Whether the launch asked for an event for each step.
    pub step_events: bool,
    /// Whether the operation has a status hook, which is called for each change of status.
    pub status_hook: bool,
    /// The number of starts so far, see [`Progress::attempts`](crate::sequencing::Progress::attempts).
    pub attempts: u32,
    /// The starts among them that the retry policy does not count.
    pub uncounted: u32,
    /// The starts among them that ended without a report.
    pub crash_count: u32,
    /// The time of the first failed attempt at the step, by the clock of the store.
    pub first_failed: Option<Timestamp>,
    /// Stored: whether an attempt at the step had begun and not ended when the message was written. Its lease is in the
    /// store alone, so that a consumer reads the progress there.
    pub started: bool,
    others: Fields,
}

/// The place of the state of a run, and the guarantee for its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The state is in a store, and the message wakes a consumer up.
    Stored,
    /// The state is in the message. Each step is accepted once, by transactions of the transport.
    ExactlyOnce,
    /// The state is in the message. A redelivery can run a step, and all steps after it, twice.
    AtLeastOnce,
}

impl Mode {
    /// Returns the text on the wire, such as `at-least-once`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let modes = [Self::Stored, Self::ExactlyOnce, Self::AtLeastOnce];
        let mode = modes.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| format!("unknown mode {text:?}"))
    }
}

impl Envelope {
    /// The version of the format.
    pub const VERSION: u64 = 1;

    /// Makes the envelope of the launch of a run, with defaults for all other fields.
    #[must_use]
    pub fn new(run: RunId, name: Name, mode: Mode) -> Self {
        Self {
            run,
            name,
            mode,
            step: 0,
            of: 0,
            version: 0,
            stamp: 0,
            life: 0,
            store: None,
            plan: None,
            launch: false,
            reply: None,
            sent: None,
            home: None,
            step_events: false,
            status_hook: false,
            attempts: 0,
            uncounted: 0,
            crash_count: 0,
            first_failed: None,
            started: false,
            others: Fields::default(),
        }
    }

    /// Copies the fields of `before` that this version of kser does not know.
    #[must_use]
    pub fn with_others_of(mut self, before: &Self) -> Self {
        self.others = before.others.clone();
        self
    }

    /// Says whether the envelope has fields that this version of kser does not know.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.others.iter().next().is_some()
    }

    /// Writes the envelope without the fields that have their defaults.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str("{\"v\":1,\"run\":");
        write_string(self.run.as_str(), out);
        out.push_str(",\"name\":");
        write_string(self.name.as_str(), out);
        let numbers = [
            ("step", u64::from(self.step)),
            ("of", u64::from(self.of)),
            ("version", self.version),
            ("stamp", self.stamp),
            ("life", self.life),
            ("attempts", u64::from(self.attempts)),
            ("uncounted", u64::from(self.uncounted)),
            ("unreported", u64::from(self.crash_count)),
            (
                "first_failed",
                self.first_failed.map_or(0, Timestamp::as_millis),
            ),
        ];
        for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            field(out, name);
            out.push_str(&number.to_string());
        }
        let flags = [
            ("launch", self.launch),
            ("started", self.started),
            ("step_events", self.step_events),
            ("status_hook", self.status_hook),
        ];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            field(out, name);
            out.push_str("true");
        }
        let texts = [
            ("mode", Some(self.mode.as_str())),
            ("store", self.store.as_ref().map(StoreId::as_str)),
            ("reply", self.reply.as_ref().map(Topic::as_str)),
            ("home", self.home.as_ref().map(Topic::as_str)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                field(out, name);
                write_string(text, out);
            }
        }
        for (name, raw) in [("sent", &self.sent), ("plan", &self.plan)] {
            if let Some(raw) = raw {
                field(out, name);
                out.push_str(raw.as_str());
            }
        }
        self.others.write(out, false);
        out.push('}');
    }

    /// Reads the value of `metadata.kser`, at which the scanner stands, in one scan.
    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Result<Kser, DecodeError> {
        if scanner.peek() != Some(b'{') {
            scanner.value()?;
            return Ok(Kser::Foreign);
        }
        let mut reader = Reader::default();
        let (at, members) = (scanner.at(), Members::of(scanner.clone())?);
        let read = members.read_values(|key, at, value| reader.member(key, at, value));
        match reader.version {
            Some(version) if version <= Self::VERSION => {
                *scanner = read?;
                Ok(Kser::Ours(Box::new(reader.finish(at)?)))
            }
            version => {
                match read {
                    Ok(rest) => *scanner = rest,
                    // Members of another program have another meaning, so that only their syntax counts.
                    Err(_) => {
                        scanner.value()?;
                    }
                }
                Ok(version.map_or(Kser::Foreign, Kser::Newer))
            }
        }
    }
}

fn field(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

/// The value of `metadata.kser`, by the program that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kser {
    Ours(Box<Envelope>),
    /// Written by a later version of kser.
    Newer(u64),
    /// The user's own.
    Foreign,
}

impl Kser {
    /// Returns the version of a later kser.
    pub(crate) const fn newer(&self) -> Option<u64> {
        match self {
            Self::Newer(version) => Some(*version),
            Self::Ours(_) | Self::Foreign => None,
        }
    }
}

#[derive(Default)]
struct Reader {
    version: Option<u64>,
    run: Option<RunId>,
    name: Option<Name>,
    mode: Option<Mode>,
    fields: Option<Envelope>,
}

impl Reader {
    fn member(&mut self, key: Key<'_, '_>, at: usize, value: &str) -> Result<(), DecodeError> {
        let blank = || Envelope::new("".into(), "".into(), Mode::AtLeastOnce);
        let to = self.fields.get_or_insert_with(blank);
        match key.name {
            "v" => self.version = value.parse().ok(),
            "run" => self.run = Some((&*id(value, at, "metadata.kser.run")?).into()),
            "name" => self.name = Some((&*id(value, at, "metadata.kser.name")?).into()),
            "mode" => {
                let mode = id(value, at, "metadata.kser.mode")?.parse();
                self.mode = Some(mode.map_err(|what| DecodeError::new(at, what))?);
            }
            "step" => to.step = number(value, at, "step")?,
            "of" => to.of = number(value, at, "of")?,
            "version" => to.version = number(value, at, "version")?,
            "stamp" => to.stamp = number(value, at, "stamp")?,
            "life" => to.life = number(value, at, "life")?,
            "attempts" => to.attempts = number(value, at, "attempts")?,
            "uncounted" => to.uncounted = number(value, at, "uncounted")?,
            "unreported" => to.crash_count = number(value, at, "unreported")?,
            "first_failed" => {
                let first = number(value, at, "first_failed")?;
                to.first_failed = Some(Timestamp::from_millis(first));
            }
            "launch" => to.launch = flag(value, at, "launch")?,
            "started" => to.started = flag(value, at, "started")?,
            "step_events" => to.step_events = flag(value, at, "step_events")?,
            "status_hook" => to.status_hook = flag(value, at, "status_hook")?,
            "store" => to.store = Some((&*id(value, at, "metadata.kser.store")?).into()),
            "reply" => to.reply = Some(topic(value, at, "metadata.kser.reply")?),
            "home" => to.home = Some(topic(value, at, "metadata.kser.home")?),
            "sent" if value.starts_with('{') => to.sent = Some(Raw::of_scanned(value)),
            "sent" => return Err(DecodeError::new(at, "metadata.kser.sent: not an object")),
            "plan" if value.starts_with('[') => to.plan = Some(Raw::of_scanned(value)),
            "plan" => return Err(DecodeError::new(at, "metadata.kser.plan: not a list")),
            _ => to
                .others
                .insert(Text::of_token(key.token), Raw::of_scanned(value)),
        }
        Ok(())
    }

    fn finish(self, at: usize) -> Result<Envelope, DecodeError> {
        let missing = |name| DecodeError::new(at, format!("metadata.kser has no {name}"));
        let mut envelope = self.fields.ok_or_else(|| missing("fields"))?;
        envelope.run = self.run.ok_or_else(|| missing("run"))?;
        envelope.name = self.name.ok_or_else(|| missing("name"))?;
        envelope.mode = self.mode.ok_or_else(|| missing("mode"))?;
        if envelope.step > envelope.of {
            let what = "metadata.kser.step is beyond metadata.kser.of";
            return Err(DecodeError::new(at, what));
        }
        // The end of a run is one position past its last step.
        match envelope.of {
            u32::MAX => Err(DecodeError::new(at, "metadata.kser.of: too many steps")),
            _ => Ok(envelope),
        }
    }
}

fn number<T: FromStr>(value: &str, at: usize, name: &str) -> Result<T, DecodeError> {
    let wrong = || {
        DecodeError::new(
            at,
            format!("metadata.kser.{name}: not a whole number that fits"),
        )
    };
    value.parse().map_err(|_| wrong())
}

fn topic(value: &str, at: usize, name: &str) -> Result<Topic, DecodeError> {
    let topic = Topic::new(id(value, at, name)?);
    topic.map_err(|error| DecodeError::new(at, error.to_string()))
}

fn flag(value: &str, at: usize, name: &str) -> Result<bool, DecodeError> {
    let wrong = || DecodeError::new(at, format!("metadata.kser.{name}: neither true nor false"));
    value.parse().map_err(|_| wrong())
}
