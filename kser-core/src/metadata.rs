use crate::envelope::Kser;
use crate::json::decode_error::DecodeError;
use crate::json::members::Members;
use crate::json::scan::Scanner;
use crate::json::text::{Text, write_string};
use crate::{Envelope, Fields, Raw};

/// The user's context of a message, and the envelope of kser beside it. Of the user's fields kser changes the trace context
/// only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    fields: Fields,
    envelope: Option<Box<Envelope>>,
    newer: Option<u64>,
}

const KSER: &str = "kser";
const TRACING: &str = "tracing";
const TRACEPARENT: &str = "traceparent";

impl Metadata {
    /// Returns the value called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.fields.get(name)
    }

    /// Sets the value called `name`.
    pub fn set(&mut self, name: &str, value: Raw) {
        self.fields.set(name, value);
    }

    /// Goes through the user's names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.fields.iter()
    }

    /// Returns the user's part: metadata with the same names and values, and without an envelope.
    #[must_use]
    pub fn user_fields(&self) -> Self {
        Self {
            fields: self.fields.clone(),
            envelope: None,
            newer: self.newer,
        }
    }

    /// Returns the part of kser, `metadata.kser`.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_deref()
    }

    /// Replaces the envelope. An envelope also replaces a field `kser` of the user; `None` leaves it.
    #[must_use]
    pub fn with_envelope(mut self, envelope: Option<Envelope>) -> Self {
        if envelope.is_some() {
            self.fields.remove(KSER);
            self.newer = None;
        }
        self.envelope = envelope.map(Box::new);
        self
    }

    /// Returns the version of a `metadata.kser` that a later version of kser has written. Such a message has to wait for a
    /// consumer of that version.
    #[must_use]
    pub const fn newer_version(&self) -> Option<u64> {
        self.newer
    }

    /// Says whether the user has a field `kser`: a value that is not an object with a whole number `v`. The field is passed
    /// on, but an operation cannot be launched with it.
    #[must_use]
    pub fn foreign_kser(&self) -> bool {
        self.newer.is_none() && self.fields.get(KSER).is_some()
    }

    /// Returns the W3C trace context in `metadata.tracing.traceparent`, if it is text.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.tracing()?.get_as(TRACEPARENT)
    }

    /// Replaces `tracing.traceparent`; the other fields of `tracing` stay.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: &str) -> Self {
        let mut tracing = self.tracing().unwrap_or_default();
        let mut token = String::new();
        write_string(traceparent, &mut token);
        tracing.set(TRACEPARENT, Raw::of_scanned(&token));
        self.fields
            .set(TRACING, Raw::of_scanned(&tracing.to_json()));
        self
    }

    fn tracing(&self) -> Option<Fields> {
        let tracing = self.fields.get(TRACING)?.as_str();
        tracing
            .starts_with('{')
            .then(|| Fields::of_scanned(tracing))
    }

    pub(crate) fn write(&self, out: &mut String) {
        out.push('{');
        self.fields.write(out, true);
        if let Some(envelope) = &self.envelope {
            if !self.fields.is_empty() {
                out.push(',');
            }
            out.push_str("\"kser\":");
            envelope.write(out);
        }
        out.push('}');
    }

    /// Reads an object where the scanner stands.
    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Result<Self, DecodeError> {
        if scanner.peek() != Some(b'{') {
            let at = scanner.at();
            scanner.value()?;
            return Err(DecodeError::new(at, "metadata: not a valid mapping"));
        }
        let mut metadata = Self::default();
        let (mut place, mut read) = (None, None);
        *scanner = Members::of(scanner.clone())?.read_each(|key, scanner| {
            if key.name != KSER {
                let value = Raw::of_scanned(scanner.value()?);
                metadata.fields.insert(Text::of_token(key.token), value);
                return Ok(());
            }
            place.get_or_insert(metadata.fields.len());
            let start = scanner.at();
            let kser = Envelope::read(scanner)?;
            read = Some((key.token, scanner.text_from(start), kser));
            Ok(())
        })?;
        match read {
            Some((_, _, Kser::Ours(envelope))) => metadata.envelope = Some(envelope),
            Some((token, text, other)) => {
                metadata.newer = other.newer();
                let place = place.unwrap_or_default();
                let (name, value) = (Text::of_token(token), Raw::of_scanned(text));
                metadata.fields.insert_at(place, name, value);
            }
            None => {}
        }
        Ok(metadata)
    }
}
