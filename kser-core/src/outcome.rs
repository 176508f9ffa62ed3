use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Object, TaskError, TaskId};

/// What a task leaves behind, and what the next one is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Outcome {
    /// The task that made it; filled in after the handler returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<TaskId>,
    /// The result code; below 300 is success.
    #[serde(deserialize_with = "number_or_text")]
    pub retcode: i64,
    /// Text for people.
    pub stdout: String,
    /// Text about what went wrong.
    pub stderr: String,
    /// Data for the next task, under names.
    pub retval: Object,
}

impl Outcome {
    /// Makes a success that says `text`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            stdout: text.into(),
            ..Self::default()
        }
    }

    /// Makes a success that holds `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] when `value` is not a JSON object.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let retval = Object::new(value)?;
        Ok(Self {
            retval,
            ..Self::default()
        })
    }

    /// Adds a text for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.stdout = text.into();
        self
    }

    /// Says whether the task succeeded: the only place that decides it.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.retcode < 300
    }

    /// Reads the returned data as a `T`.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when it is not a `T`.
    pub fn retval_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.retval.parse()
    }

    /// Returns what is forwarded after `uuid` left this: this laid over what it was given, or this alone if it replaces.
    #[must_use]
    pub fn accepted(&self, forwarded: &Self, uuid: &TaskId) -> Self {
        let merged = match forwarded.is_success() {
            true => forwarded.merge(self),
            false => self.clone(),
        };
        merged.with_uuid(uuid.clone())
    }

    /// Returns the outcome under another name.
    #[must_use]
    pub fn with_uuid(mut self, uuid: TaskId) -> Self {
        self.uuid = Some(uuid);
        self
    }

    /// Returns this with `later` laid over it: the larger code, the fields of both, the later texts.
    #[must_use]
    pub fn merge(&self, later: &Self) -> Self {
        let text = |old: &String, new: &String| if new.is_empty() { old } else { new }.clone();
        Self {
            uuid: self.uuid.clone(),
            retcode: self.retcode.max(later.retcode),
            stdout: text(&self.stdout, &later.stdout),
            stderr: text(&self.stderr, &later.stderr),
            retval: self.retval.merge(&later.retval),
        }
    }

    /// Returns what went wrong, `None` for a success.
    #[must_use]
    pub fn error(&self) -> Option<TaskError> {
        if self.is_success() {
            return None;
        }
        let told = self.retval.fields().get("error").map(crate::Raw::parse);
        let told = told.and_then(Result::ok);
        Some(told.unwrap_or_else(|| {
            let code = u16::try_from(self.retcode).unwrap_or(500);
            TaskError::new("UnknownError", &self.stderr).with_code(code)
        }))
    }
}

impl From<&TaskError> for Outcome {
    fn from(error: &TaskError) -> Self {
        #[derive(Serialize)]
        struct Retval<'a> {
            error: &'a TaskError,
        }
        Self {
            uuid: None,
            retcode: error.code().into(),
            stdout: String::new(),
            stderr: error.message().to_owned(),
            retval: Object::new(&Retval { error }).unwrap_or_default(),
        }
    }
}

/// Python turns `"12"` into 12.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let raw = crate::Raw::deserialize(deserializer)?;
    let text = raw.as_str().trim_matches('"');
    text.parse().map_err(D::Error::custom)
}

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "return `()`, text, `Json<T>`, an `Outcome`, or a `Result` of one of them"
)]
pub trait IntoOutcome: Send {
    /// Turns it into what the next task is given.
    ///
    /// # Errors
    ///
    /// The task's error, or that its value has no JSON form.
    fn into_outcome(self) -> Result<Outcome, TaskError>;
}

/// Data for the next task: a value that is written as a JSON object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wrapper, to be taken apart")]
pub struct Json<T>(pub T);

impl<T: Serialize + Send> IntoOutcome for Json<T> {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::json(&self.0)?)
    }
}

impl<T: Serialize + Send> IntoOutcome for (Json<T>, String) {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::json(&self.0.0)?.with_text(self.1))
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::default())
    }
}

impl IntoOutcome for String {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::text(self))
    }
}

impl IntoOutcome for &'static str {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::text(self))
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: Into<TaskError> + Send> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        self.map_err(Into::into)?.into_outcome()
    }
}
