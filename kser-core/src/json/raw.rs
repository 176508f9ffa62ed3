use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::finite;
use super::repeats::without_repeats;
use super::scan::Scanner;
use super::{JsonError, depth};

/// A JSON value, kept as the text in which it arrived.
///
/// Nothing is lost on the way through (`123456789012345678901234567890`, `2.50`). Cloning shares the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Arc<str>);

impl Raw {
    /// Writes `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError::Encode`] when `value` has no JSON form, such as a map whose keys are not text, or a number that is not
    /// finite. The error names the field.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        finite::to_json(value).map(|text| Self(text.into()))
    }

    /// Takes bytes that are JSON text.
    ///
    /// # Errors
    ///
    /// [`JsonError::Decode`] when they are not.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(JsonError::decode)?;
        let mut scanner = Scanner::new(text);
        let value = scanner.value().and_then(|value| {
            scanner.end()?;
            Ok(value)
        });
        let value = value.map_err(|error| JsonError::decode(error.within(bytes)))?;
        Ok(Self(value.into()))
    }

    /// Reads the value as a `T`. Of two equal names in an object only the last counts.
    ///
    /// # Errors
    ///
    /// [`JsonError::Decode`] when the text is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_str(self.as_str()).or_else(|error| {
            let last = self
                .without_repeats()
                .ok_or_else(|| JsonError::decode(error))?;
            serde_json::from_str(last.as_str()).map_err(JsonError::decode)
        })
    }

    /// Returns the value without the members that later ones of the same names replace; `None` when there are none.
    pub(crate) fn without_repeats(&self) -> Option<Self> {
        without_repeats(self.as_str()).map(|text| Self(text.into()))
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes text that a scanner has found to be a value.
    pub(crate) fn of_scanned(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue =
            serde_json::from_str(self.as_str()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if depth::is_deeper(raw.get(), depth::MAX_DEPTH) {
            let what = format!("more than {} levels of nesting", depth::MAX_DEPTH);
            return Err(serde::de::Error::custom(what));
        }
        Ok(Self(Box::<str>::from(raw).into()))
    }
}
