use std::fmt;
use std::time::Duration;

use super::mark::Mark;

/// The events of a run, in order. Its text has no ids but labels, and times from the beginning of the run, so that it is
/// the same whenever and wherever the same run is made.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    events: Vec<Event>,
    hash: Hash,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    /// The name of the process, or `world`.
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) mark: Mark,
}

/// FNV-1a of 64 bits: the same in every process, build and version of Rust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(super) const fn value(self) -> u64 {
        self.0
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Trace {
    pub(crate) fn note(&mut self, at: Duration, who: &str, mark: Mark, what: String) {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.hash.write(&millis.to_le_bytes());
        self.hash.write(who.as_bytes());
        self.hash.write(&[0]);
        self.hash.write(what.as_bytes());
        self.hash.write(&[0]);
        let who = who.to_owned();
        self.events.push(Event {
            at,
            who,
            what,
            mark,
        });
    }

    /// Returns a number that two traces share only if the same happened in them.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// Counts the events.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// Says whether there are no events.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the events.
    #[cfg(feature = "html")]
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Says whether the line of an event has this text in it.
    #[must_use]
    pub fn has(&self, text: &str) -> bool {
        self.events
            .iter()
            .any(|event| event.to_string().contains(text))
    }

    /// Returns the lines of the last events, at most so many.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = String> {
        let first = self.events.len().saturating_sub(count);
        self.events.iter().skip(first).map(ToString::to_string)
    }

    /// Returns the place of the first event with this text, if there is one.
    pub(crate) fn find(&self, what: &str) -> Option<usize> {
        self.events.iter().position(|event| event.what == what)
    }

    /// Says where two traces differ first, of the events before a place.
    pub(crate) fn difference(
        &self,
        other: &Self,
        before: Option<usize>,
    ) -> Option<(usize, String, String)> {
        let longest = self.events.len().max(other.events.len());
        let longest = before.unwrap_or(longest);
        let line = |trace: &Self, at: usize| match trace.events.get(at) {
            Some(event) => event.to_string(),
            None => "(nothing)".to_owned(),
        };
        let at = (0..longest).find(|at| self.events.get(*at) != other.events.get(*at))?;
        Some((at, line(self, at), line(other, at)))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, who, what, .. } = self;
        write!(f, "{:>9}  {who:<8} {what}", Moment(*at).to_string())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// A time from the beginning of a run.
pub(crate) struct Moment(pub(crate) Duration);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}
