use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::decode_error::DecodeError;
use crate::json::members::Members;
use crate::json::scan::{Scanner, plain};
use crate::json::text::{Text, unescape, write_string};
use crate::retcode::Retcode;
use crate::{Error, Object, Raw, TaskError, TaskId};

/// The outcome of a task, which is forwarded to the next task: the `Result` of the Python library.
///
/// The default is a success without text and data. Cloning is cheap. On the wire the fields have the names of the Python
/// library: `retcode` for the code, `stdout` for the message, `stderr` for the error message, `retval` for the data.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    uuid: Option<TaskId>,
    retcode: Retcode,
    stdout: Text,
    stderr: Text,
    retval: Object,
    /// Whether `retval` has an `error` that is not null. Kept, so that asking for a success scans no text.
    has_error: bool,
    replaces: bool,
}

impl Outcome {
    /// Makes a success with a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().with_message(text)
    }

    /// Makes a success with `value` as its data.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when `value` is not a JSON object, or holds a number that is not finite.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Ok(Self::default().with_data(Object::new(value)?))
    }

    /// Sets the text for people.
    #[must_use]
    #[doc(alias("with_stdout", "with_text", "print"))]
    pub fn with_message(mut self, text: impl Into<String>) -> Self {
        self.stdout = Text::new(text);
        self
    }

    /// Sets the text of the error, for people.
    #[must_use]
    #[doc(alias("with_stderr", "print_err"))]
    pub fn with_error_message(mut self, text: impl Into<String>) -> Self {
        self.stderr = Text::new(text);
        self
    }

    /// Sets the result code; 300 and more is a failure.
    #[must_use]
    #[doc(alias = "with_retcode")]
    pub fn with_code(mut self, code: i64) -> Self {
        self.retcode = Retcode::from(code);
        self
    }

    /// Sets the data for the next task.
    #[must_use]
    #[doc(alias = "with_retval")]
    pub fn with_data(mut self, data: Object) -> Self {
        self.set_retval(data);
        self
    }

    fn set_retval(&mut self, retval: Object) {
        self.retval = retval;
        self.has_error = self.error_value().is_some();
    }

    /// Sets the id of the task. The consumer does this for handlers.
    #[must_use]
    pub fn with_uuid(mut self, uuid: TaskId) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// Marks the outcome as replacing: it is forwarded alone, without the outcome that was forwarded to this task.
    #[must_use]
    pub const fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// Returns the id of the task.
    #[must_use]
    pub const fn uuid(&self) -> Option<&TaskId> {
        self.uuid.as_ref()
    }

    /// Returns the result code. A code beyond 64 bits, which only Python can write, is the nearest that fits.
    #[must_use]
    #[doc(alias = "retcode")]
    pub const fn code(&self) -> i64 {
        self.retcode.value()
    }

    /// Returns the text for people; empty when there is none.
    #[must_use]
    #[doc(alias = "stdout")]
    pub fn message(&self) -> &str {
        self.stdout.as_str()
    }

    /// Returns the text of the error, for people; empty when there is none.
    #[must_use]
    #[doc(alias = "stderr")]
    pub fn error_message(&self) -> &str {
        self.stderr.as_str()
    }

    /// Returns the data for the next task.
    #[must_use]
    #[doc(alias = "retval")]
    pub const fn data(&self) -> &Object {
        &self.retval
    }

    /// Reads the data for the next task as a `T`.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when the data is not a `T`.
    #[doc(alias = "retval_as")]
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(self.retval.parse()?)
    }

    /// Says whether the task succeeded: the retcode is below 300, and `error` in `retval` is absent or null. Any other
    /// value of `error` is a failure, also `""`, `false` and `{}`. This is the only place that decides it.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.retcode.value() < 300 && !self.has_error
    }

    /// Returns the error; `None` for a success.
    #[must_use]
    pub fn error(&self) -> Option<TaskError> {
        if self.is_success() {
            return None;
        }
        let told = self.error_value();
        let null = Raw::of_scanned("null");
        let told = told.as_ref().unwrap_or(&null);
        Some(TaskError::read(told, self.code(), self.error_message()))
    }

    /// Returns the text that log lines show: `stdout` of a success, `stderr` of a failure.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.is_success() {
            true => self.message(),
            false => self.error_message(),
        }
    }

    /// Merges `later` into this outcome: the larger code, the fields of both, the later texts unless they are empty. The id
    /// stays.
    #[must_use]
    pub fn merge(&self, later: &Self) -> Self {
        let text = |old: &Text, new: &Text| if new.is_empty() { old } else { new }.clone();
        let merged = Self {
            uuid: self.uuid.clone(),
            retcode: match later.retcode.value() > self.retcode.value() {
                true => later.retcode.clone(),
                false => self.retcode.clone(),
            },
            stdout: text(&self.stdout, &later.stdout),
            stderr: text(&self.stderr, &later.stderr),
            ..Self::default()
        };
        merged.with_data(self.retval.merge(&later.retval))
    }

    /// Returns the outcome that is forwarded after the task `uuid`: this outcome merged into `forwarded`, or this outcome
    /// alone if it [replaces](Self::replacing). A failure in `forwarded` is not merged.
    #[must_use]
    pub fn accepted(&self, forwarded: &Self, uuid: &TaskId) -> Self {
        let alone = self.replaces || !forwarded.is_success();
        let accepted = match alone {
            true => self.clone(),
            false => forwarded.merge(self),
        };
        Self {
            replaces: false,
            ..accepted.with_uuid(uuid.clone())
        }
    }

    /// Returns the number of bytes as JSON.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.to_json().len()
    }

    /// Says whether the outcome takes at most `limit` bytes as JSON. It is encoded only if it may come near the limit.
    #[must_use]
    pub fn fits(&self, limit: usize) -> bool {
        // Room for the names of the fields and a code of hundreds of digits; an escape takes six bytes for one.
        const AROUND: usize = 512;
        let uuid = self.uuid.as_ref().map_or(0, |uuid| uuid.as_str().len());
        let texts = uuid + self.message().len() + self.error_message().len();
        let most = AROUND + 6 * texts + self.retval.as_str().len();
        most <= limit || self.encoded_len() <= limit
    }

    /// Cuts a failure that takes more than `limit` bytes as JSON, so that its error is not lost: the name, the code and the
    /// beginning of the message of the error are kept, and the message says how much is left out. All other data is dropped.
    /// A success, and a failure that fits, stay as they are.
    ///
    /// The outcome may still be too large if the name of the error is.
    #[must_use]
    pub fn cut_to(self, limit: usize) -> Self {
        let Some(error) = self.error().filter(|_| !self.fits(limit)) else {
            return self;
        };
        let mut keep = error.message().len();
        loop {
            let cut = Self {
                uuid: self.uuid.clone(),
                retcode: self.retcode.clone(),
                ..Self::from(&error.cut(keep))
            };
            if cut.fits(limit) || keep == 0 {
                return cut;
            }
            keep /= 2;
        }
    }

    /// Returns the error in `retval`. Null is no error, so that a program may always write the field.
    fn error_value(&self) -> Option<Raw> {
        let value = self.error_field()?;
        (value.as_str() != "null").then_some(value)
    }

    fn error_field(&self) -> Option<Raw> {
        match self.retval.is_empty() || !self.retval.as_str().contains("error") {
            // A name may be written with escapes, so that only the parsed fields are certain.
            true if !self.retval.as_str().contains('\\') => None,
            _ => self.retval.fields().get("error").cloned(),
        }
    }

    /// Writes the outcome with the fields in the order of the Python library.
    pub(crate) fn write(&self, out: &mut String, default_uuid: &str) {
        let uuid = self.uuid.as_ref().map_or(default_uuid, TaskId::as_str);
        out.push_str("{\"uuid\":");
        write_string(uuid, out);
        out.push_str(",\"retcode\":");
        self.retcode.write(out);
        out.push_str(",\"stdout\":");
        self.stdout.write(out);
        out.push_str(",\"stderr\":");
        self.stderr.write(out);
        out.push_str(",\"retval\":");
        out.push_str(self.retval.as_str());
        out.push('}');
    }

    /// Reads an object or null, at which the scanner stands. Absent fields have their defaults.
    ///
    /// An id that equals that of the message shares its text.
    pub(crate) fn read(
        scanner: &mut Scanner<'_>,
        message: Option<&TaskId>,
    ) -> Result<Self, DecodeError> {
        if let Some(default) = message.and_then(|message| Self::take_default(scanner, message)) {
            return Ok(default);
        }
        let mut outcome = Self::default();
        if scanner.peek() != Some(b'{') {
            let at = scanner.at();
            return match scanner.value()? {
                "null" => Ok(outcome),
                _ => Err(DecodeError::new(at, "result: neither an object nor null")),
            };
        }
        *scanner = Members::of(scanner.clone())?.read_values(|key, at, value| {
            match key.name {
                "uuid" => {
                    let uuid = id(value, at, "result.uuid")?;
                    let same = message.filter(|message| message.as_str() == uuid);
                    outcome.uuid = Some(same.cloned().unwrap_or_else(|| TaskId::from(&*uuid)));
                }
                "retcode" => outcome.retcode = Retcode::read(value, at)?,
                "stdout" => outcome.stdout = string(value, at, "result.stdout")?,
                "stderr" => outcome.stderr = string(value, at, "result.stderr")?,
                "retval" => outcome.set_retval(object(value, at, "result.retval")?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(outcome)
    }

    /// Takes the outcome of a message that no step precedes, if it is as [`write`](Self::write) writes it. Most messages have
    /// it, and its fields need not be read one by one.
    fn take_default(scanner: &mut Scanner<'_>, message: &TaskId) -> Option<Self> {
        let uuid = message.as_str();
        let mut ahead = scanner.clone();
        let is_default = ahead.take_text("{\"uuid\":\"")
            && ahead.take_text(uuid)
            && ahead.take_text("\",\"retcode\":0,\"stdout\":\"\",\"stderr\":\"\",\"retval\":{}}");
        // In JSON a text with escapes is another one.
        if !is_default || plain(uuid.as_bytes()) < uuid.len() {
            return None;
        }
        *scanner = ahead;
        Some(Self::default().with_uuid(message.clone()))
    }

    fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "");
        out
    }
}

/// Reads a JSON string.
fn string(value: &str, at: usize, name: &str) -> Result<Text, DecodeError> {
    match value.starts_with('"') {
        true => Ok(Text::of_token(value)),
        false => Err(DecodeError::new(at, format!("{name}: not a valid string"))),
    }
}

/// Reads an id: Unicode text.
pub(crate) fn id<'a>(value: &'a str, at: usize, name: &str) -> Result<Cow<'a, str>, DecodeError> {
    if !value.starts_with('"') {
        return Err(DecodeError::new(at, format!("{name}: not a valid string")));
    }
    match unescape(value) {
        (text, true) => Ok(text),
        (_, false) => {
            let what = format!("{name}: half a surrogate pair, which is no Unicode text");
            Err(DecodeError::new(at, what))
        }
    }
}

/// Reads a JSON object.
pub(crate) fn object(value: &str, at: usize, name: &str) -> Result<Object, DecodeError> {
    match value.starts_with('{') {
        true => Ok(Object::of_scanned(value)),
        false => Err(DecodeError::new(at, format!("{name}: not a valid mapping"))),
    }
}

impl From<&TaskError> for Outcome {
    fn from(error: &TaskError) -> Self {
        #[derive(Serialize)]
        struct Retval<'a> {
            error: &'a TaskError,
        }
        // Data without a JSON form is left out, so that the failure itself is never lost.
        let bare = || error.without_extra();
        let retval = Object::new(&Retval { error });
        let retval = retval.or_else(|_| Object::new(&Retval { error: &bare() }));
        Self::default()
            .with_code(error.code())
            .with_error_message(error.message())
            .with_data(retval.unwrap_or_default())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_json();
        Raw::of_scanned(&text).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        let read = Self::read(&mut Scanner::new(raw.as_str()), None);
        let mut outcome = read.map_err(serde::de::Error::custom)?;
        // An absent id is written as an empty one.
        outcome.uuid = outcome.uuid.filter(|uuid| !uuid.as_str().is_empty());
        Ok(outcome)
    }
}
