use serde::de::DeserializeOwned;

use crate::json::members::Members;
use crate::json::scan::Scanner;
use crate::json::text::unescape;
use crate::{JsonError, Object, TaskError};

/// Reads the params of a handler. A mismatch is the `ValidationError` of the Python library.
pub(crate) fn read<P: DeserializeOwned>(params: &Object) -> Result<P, TaskError> {
    params.parse().map_err(|error| {
        let ParamMismatch { path, mismatch } = ParamMismatch::of(&params.without_repeats(), &error);
        TaskError::validation(match (mismatch, path.as_str()) {
            (Mismatch::Missing(name), "") => format!("Missing parameter: {name}"),
            (Mismatch::Missing(name), path) => format!("Missing parameter: {path}.{name}"),
            (Mismatch::Wrong(text), "") => format!("Invalid parameters: {text}"),
            (Mismatch::Wrong(text), path) => format!("Invalid parameter: {path}: {text}"),
        })
    })
}

/// Reads the data of the step before.
pub(crate) fn read_previous<T: DeserializeOwned>(retval: &Object) -> Result<T, TaskError> {
    retval.parse().map_err(|error| {
        let ParamMismatch { path, mismatch } = ParamMismatch::of(&retval.without_repeats(), &error);
        let path = Some(path).filter(|path| !path.is_empty());
        let text = match (mismatch, path) {
            (Mismatch::Missing(name), None) => format!("{name} is missing"),
            (Mismatch::Missing(name), Some(path)) => format!("{path}.{name} is missing"),
            (Mismatch::Wrong(text), None) => text,
            (Mismatch::Wrong(text), Some(path)) => format!("{path}: {text}"),
        };
        let text = format!("the outcome of the step before does not fit: {text}");
        TaskError::validation(text).with_code(422)
    })
}

/// The reason why an object is not a value of the type that a handler takes.
struct ParamMismatch {
    /// The path to the value, such as `address.street` or `sizes[2]`; empty for the object itself.
    path: String,
    mismatch: Mismatch,
}

enum Mismatch {
    Missing(String),
    /// The text of serde without the value, which may be personal or secret, while errors are logged and sent on.
    Wrong(String),
}

impl ParamMismatch {
    fn of(object: &Object, error: &JsonError) -> Self {
        let text = |error: &dyn std::fmt::Display| Mismatch::Wrong(error.to_string());
        let JsonError::Decode { source } = error else {
            let (path, mismatch) = (String::new(), text(error));
            return Self { path, mismatch };
        };
        let Some(error) = source.downcast_ref::<serde_json::Error>() else {
            let (path, mismatch) = (String::new(), text(source));
            return Self { path, mismatch };
        };
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        Self {
            path: path(object.as_str(), offset(object.as_str(), error)),
            mismatch: Mismatch::of(text),
        }
    }
}

impl Mismatch {
    /// Parses an error text of serde.
    fn of(text: &str) -> Self {
        let missing = text.strip_prefix("missing field `");
        if let Some((name, _)) = missing.and_then(|rest| rest.split_once('`')) {
            return Self::Missing(name.to_owned());
        }
        for (begin, kinds) in [
            ("invalid type: ", &VALUES[..]),
            ("invalid value: ", &VALUES[..]),
            ("unknown variant", &[""][..]),
        ] {
            let Some(rest) = text.strip_prefix(begin) else {
                continue;
            };
            let kind = kinds.iter().find(|kind| rest.starts_with(**kind));
            if let (Some(kind), Some((_, expected))) = (kind, rest.rsplit_once(", expected ")) {
                return Self::Wrong(format!("{begin}{kind}, expected {expected}"));
            }
        }
        Self::Wrong(text.to_owned())
    }
}

/// The words in front of a value in the error texts of serde.
const VALUES: [&str; 5] = [
    "string",
    "integer",
    "floating point",
    "boolean",
    "character",
];

/// The deepest level of a path. Each level scans the value once more.
const DEEPEST: usize = 8;

/// Returns the number of bytes that serde had read at the error.
fn offset(json: &str, error: &serde_json::Error) -> usize {
    let lines = json
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// Returns the path to the value that contains `offset`.
fn path(json: &str, offset: usize) -> String {
    let (mut path, mut rest, mut offset) = (String::new(), json, offset);
    for _ in 0..DEEPEST {
        let Some((name, at, value)) = around(rest, offset) else {
            break;
        };
        if !path.is_empty() && !name.starts_with('[') {
            path.push('.');
        }
        path.push_str(&name);
        (rest, offset) = (value, offset - at);
    }
    path
}

/// Finds the member or the item of a value that contains `offset`: its name, its first byte, and its text.
fn around(json: &str, offset: usize) -> Option<(String, usize, &str)> {
    let within = |at: usize, value: &str| (at..=at + value.len()).contains(&offset);
    let mut scanner = Scanner::new(json);
    if scanner.peek() == Some(b'{') {
        let mut members = Members::of(scanner).ok()?;
        while let Some((key, at, value)) = members.next().ok()? {
            if within(at, value) {
                return Some((unescape(key).0.into_owned(), at, value));
            }
        }
        return None;
    }
    scanner.take(b'[').then_some(())?;
    for index in 0.. {
        scanner.skip_space();
        let at = scanner.at();
        let value = scanner.value().ok()?;
        if within(at, value) {
            return Some((format!("[{index}]"), at, value));
        }
        scanner.take(b',').then_some(())?;
    }
    None
}
