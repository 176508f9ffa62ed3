use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, RunId};

/// The first part of the text of a cursor, with the version of its form.
const FORM: &str = "c1";

/// The place at which a page ends, and after which the next one begins.
///
/// It is a text without spaces, to be kept and handed back as it is: [`Display`](fmt::Display) writes it, [`FromStr`] reads it. It
/// stays valid while runs are inserted and purged, the run at its place among them, in all processes that share the store. It
/// belongs to the filter of its list, or to the run of its attempts: another one refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The hash of the name of the list.
    scope: u64,
    place: (u64, u64),
}

impl Cursor {
    /// Makes the cursor of a place in the list `scope`, a text that differs for lists that differ.
    #[must_use]
    pub fn new(scope: &str, place: (u64, u64)) -> Self {
        Self {
            scope: hash(scope),
            place,
        }
    }

    /// Returns the place of a cursor of the list `scope`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a cursor of another list.
    pub fn place(&self, scope: &str) -> Result<(u64, u64), Error> {
        match self.scope == hash(scope) {
            true => Ok(self.place),
            false => Err(Error::Invalid {
                what: format!("the cursor {self}"),
                reason:
                    "it belongs to a list with another filter, or to the attempts of another run"
                        .to_owned(),
            }),
        }
    }

    /// Makes the cursor that follows the attempt with this number, of which the store chooses an ascending one for each.
    #[must_use]
    pub fn after_attempt(run: &RunId, number: u64) -> Self {
        Self::new(&attempts_of(run), (number, 0))
    }

    /// Returns the number of the attempt that this cursor follows.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a cursor of another list.
    pub fn attempt(&self, run: &RunId) -> Result<u64, Error> {
        Ok(self.place(&attempts_of(run))?.0)
    }

    /// Returns a number by which a text that was cut or changed is told.
    fn check(&self) -> u64 {
        hash(&format!("{:?}", (self.scope, self.place))) & 0xffff
    }
}

fn attempts_of(run: &RunId) -> String {
    format!("attempts {run}")
}

/// Hashes a text with FNV-1a, which is the same in all builds.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.place;
        let (scope, check) = (self.scope, self.check());
        f.pad(&format!("{FORM}-{scope:x}-{first:x}-{second:x}-{check:x}"))
    }
}

/// Reads the text that a cursor displays.
impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.split('-');
        let form = parts.next();
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let read = (|| {
            let (scope, place) = (number()?, (number()?, number()?));
            Some(Self { scope, place })
        })();
        // The text that is read is the one that is written, so that no other text stands for the same cursor.
        let read = read.filter(|cursor| form == Some(FORM) && cursor.to_string() == text);
        read.ok_or_else(|| InvalidCursor(text.to_owned()))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The error of reading a [`Cursor`] from a text that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no cursor of a page: it is incomplete, was changed, or is of another version of kser"
)]
pub struct InvalidCursor(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        for place in [(0, 0), (1_700_000_000_123, 7), (u64::MAX, u64::MAX)] {
            let cursor = Cursor::new("runs", place);
            assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
            assert_eq!(cursor.place("runs").ok(), Some(place));
            let json = serde_json::to_string(&cursor).unwrap();
            assert_eq!(json, format!("\"{cursor}\""));
            assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
        }
    }

    #[test]
    fn a_text_that_was_cut_or_changed_is_refused() {
        let text = Cursor::new("runs", (1_700_000_000_123, 7)).to_string();
        for end in 0..text.len() {
            let cut = &text[..end];
            let error = cut.parse::<Cursor>().expect_err("it was cut");
            assert!(error.to_string().contains("is no cursor"), "{error}");
        }
        for other in ["c2", "", "C1"] {
            assert!(text.replace("c1", other).parse::<Cursor>().is_err());
        }
        for changed in [format!("{text}0"), format!("{text}-1"), text.to_uppercase()] {
            assert!(changed.parse::<Cursor>().is_err(), "{changed}");
        }
        let changed = text.replace("-7-", "-8-");
        assert_ne!(changed, text);
        assert!(changed.parse::<Cursor>().is_err(), "{changed}");
        let of_json = serde_json::from_str::<Cursor>("\"c1-0\"").unwrap_err();
        assert!(of_json.to_string().contains("is no cursor"), "{of_json}");
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let (one, other) = (RunId::from("one"), RunId::from("other"));
        let cursor = Cursor::after_attempt(&one, 3);
        assert_eq!(cursor.attempt(&one).ok(), Some(3));
        let error = cursor.attempt(&other).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(error.to_string().contains("another run"), "{error}");
    }
}
