use bytes::Bytes;

use crate::json::decode_error::DecodeError;
use crate::json::members::Members;
use crate::json::scan::Scanner;
use crate::json::text::write_string;
use crate::outcome::{id, object};
use crate::{Error, Metadata, Name, Object, Outcome, TaskId};

/// A request to run a task or to build an operation, in its form on the wire: the `Message` of the Python library.
///
/// ```
/// # use kser_core::Message;
/// let text = br#"{"uuid": "872c", "entrypoint": "dice.DiceRoll", "params": {"sides": 6}}"#;
/// let message = Message::decode(text)?;
/// assert_eq!(message.params.as_str(), r#"{"sides": 6}"#);
/// assert_eq!(message.result.uuid(), Some(&"872c".into()));
/// # Ok::<(), kser_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The id of the task.
    pub uuid: TaskId,
    /// The name of the task or the operation.
    pub entrypoint: Name,
    /// The params of the task or the operation.
    pub params: Object,
    /// The forwarded outcome of the step before.
    pub result: Outcome,
    /// The user's context, and kser's envelope.
    pub metadata: Metadata,
}

impl Message {
    /// Makes a message without a forwarded outcome and without metadata.
    #[must_use]
    pub fn new(uuid: TaskId, entrypoint: Name, params: Object) -> Self {
        let result = Outcome::default().with_uuid(uuid.clone());
        Self {
            uuid,
            entrypoint,
            params,
            result,
            metadata: Metadata::default(),
        }
    }

    /// Decodes a message. Every message that the Python library can write is accepted.
    ///
    /// The last of several fields with one name wins, and unknown fields are ignored, as in Python.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] where the Python library refuses the message too, and where its leniency would hide a loss: NaN
    /// and infinities, which are not JSON, and return codes that are not whole numbers. The source names the fault and
    /// its place.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let read = text(bytes).and_then(Self::read);
        read.map_err(|error| Error::decode(error.within(bytes)))
    }

    /// Decodes the valid fields of a message that [`decode`](Self::decode) refuses. An invalid field keeps the value that it
    /// has in an empty message; an invalid uuid is empty.
    ///
    /// Returns `None` when the text is no JSON object, or has no entrypoint.
    #[must_use]
    pub fn salvage(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut message = Self::new("".into(), "".into(), Object::default());
        let members = Members::of(Scanner::new(text)).ok()?;
        let read = members.read_values(|key, at, value| {
            let scanner = &mut Scanner::new(value);
            match key.name {
                "uuid" => message.uuid = TaskId::from(&*id(value, at, "").unwrap_or_default()),
                "entrypoint" => {
                    message.entrypoint = Name::from(&*id(value, at, "").unwrap_or_default());
                }
                "params" => message.params = object(value, at, "").unwrap_or_default(),
                "result" => message.result = Outcome::read(scanner, None).unwrap_or_default(),
                "metadata" => message.metadata = Metadata::read(scanner).unwrap_or_default(),
                _ => {}
            }
            Ok(())
        });
        read.ok()?;
        (!message.entrypoint.as_str().is_empty()).then_some(message)
    }

    /// Encodes the message: all five fields, in the order of the Python library.
    ///
    /// # Errors
    ///
    /// None at present. The sender refuses a message that is over a limit.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut out = String::with_capacity(self.encoded_len_hint());
        out.push_str("{\"uuid\":");
        write_string(self.uuid.as_str(), &mut out);
        out.push_str(",\"entrypoint\":");
        write_string(self.entrypoint.as_str(), &mut out);
        out.push_str(",\"params\":");
        out.push_str(self.params.as_str());
        out.push_str(",\"result\":");
        self.result.write(&mut out, self.uuid.as_str());
        out.push_str(",\"metadata\":");
        self.metadata.write(&mut out);
        out.push('}');
        Ok(out.into())
    }

    /// Estimates the bytes of the encoded message.
    fn encoded_len_hint(&self) -> usize {
        let id = self.uuid.as_str().len();
        let result = self.result.data().as_str().len() + self.result.message().len();
        let metadata = self
            .metadata
            .iter()
            .map(|(name, value)| name.len() + value.as_str().len());
        let envelope = self.metadata.envelope().map_or(0, |envelope| {
            256 + envelope.plan.as_ref().map_or(0, |plan| plan.as_str().len())
        });
        200 + 2 * id + self.params.as_str().len() + result + metadata.sum::<usize>() + envelope
    }

    fn read(text: &str) -> Result<Self, DecodeError> {
        let mut scanner = Scanner::new(text);
        scanner.skip_space();
        let start = scanner.at();
        if scanner.peek() != Some(b'{') {
            return Err(no_object(scanner));
        }
        let (mut uuid, mut entrypoint, mut params) = (None, None, Object::default());
        let (mut result, mut metadata) = (Outcome::default(), Metadata::default());
        let mut rest = Members::of(scanner)?.read_each(|key, scanner| {
            let at = scanner.at();
            match key.name {
                "uuid" => uuid = Some(TaskId::from(&*id(scanner.value()?, at, "uuid")?)),
                "entrypoint" => {
                    let name = id(scanner.value()?, at, "entrypoint")?;
                    entrypoint = Some(Name::from(&*name));
                }
                "params" => params = object(scanner.value()?, at, "params")?,
                "result" => result = Outcome::read(scanner, uuid.as_ref())?,
                "metadata" => metadata = Metadata::read(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            Ok(())
        })?;
        rest.end()?;
        let missing =
            |name| DecodeError::new(start, format!("{name}: missing data for required field"));
        let uuid = uuid.ok_or_else(|| missing("uuid"))?;
        let result = match result.uuid() {
            Some(_) => result,
            None => result.with_uuid(uuid.clone()),
        };
        Ok(Self {
            uuid,
            entrypoint: entrypoint.ok_or_else(|| missing("entrypoint"))?,
            params,
            result,
            metadata,
        })
    }
}

/// Checks that bytes are UTF-8. The error names the format that other bytes look like.
fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    let seen = match bytes {
        [] => Some("an empty value"),
        [0xef, 0xbb, 0xbf, ..] => Some("a byte order mark"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16 with its byte order mark"),
        [0x1f, 0x8b, ..] => Some("gzip data"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd data"),
        [0, _, _, _, _, b'{' | b'[', ..] => {
            Some("a zero byte and a schema number before the document")
        }
        [0, b'{', ..] | [_, 0, ..] => Some("UTF-16, every second byte is zero"),
        [0, ..] => Some("a zero byte at the beginning"),
        _ => None,
    };
    if let Some(seen) = seen {
        return Err(DecodeError::new(0, seen));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let what = match error.error_len() {
            Some(_) => "a byte that is not UTF-8, as in Latin-1",
            None => "the text ends within a character",
        };
        DecodeError::new(error.valid_up_to(), what)
    })
}

/// Returns the error for text that is not an object.
fn no_object(mut scanner: Scanner<'_>) -> DecodeError {
    let at = scanner.at();
    match scanner.value() {
        Ok(value) if value.starts_with('"') => {
            DecodeError::new(at, "expected an object, found text, as if encoded twice")
        }
        Ok(value) if value.starts_with('[') => {
            DecodeError::new(at, "expected an object, found a list")
        }
        Ok(value) => DecodeError::new(at, format!("expected an object, found {value}")),
        Err(error) => error,
    }
}
