use data_encoding::BASE64;
use kser::backend::Record;
use serde::Serialize;

use crate::error::OpsError;
use crate::letter::{Letter, LetterAddress};
use crate::ops::Ops;
use crate::ops::letters::{LetterFilter, LetterView};

/// A dead letter of an export.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExportedLetter {
    /// The letter.
    #[serde(flatten)]
    pub letter: Letter,
    /// The record of the letter, byte for byte; `None` unless it is asked for, since it may have secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<ExportedRecord>,
}

/// A record of an export: each of its texts is exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportedRecord {
    /// The key.
    pub key: Option<ExactText>,
    /// The headers, in their order; a name may be there more than once.
    pub headers: Vec<ExportedHeader>,
    /// The payload.
    pub payload: Option<ExactText>,
}

/// A header of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportedHeader {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Option<ExactText>,
}

/// Bytes as text, or in base64 (RFC 4648, with padding) where they are no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "bytes are UTF-8, or they are not")]
pub enum ExactText {
    /// The bytes are the UTF-8 of this text.
    Text(String),
    /// The bytes are those that this text encodes.
    Base64(String),
}

impl ExactText {
    /// Writes bytes so that they can be read again, each of them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }
}

impl ExportedRecord {
    fn new(record: &Record) -> Self {
        let headers = record.headers.iter().map(|(name, value)| ExportedHeader {
            name: name.clone(),
            value: value.as_deref().map(ExactText::of),
        });
        Self {
            key: record.key.as_deref().map(ExactText::of),
            headers: headers.collect(),
            payload: record.payload.as_deref().map(ExactText::of),
        }
    }
}

/// Reads dead letters for an export, page by page.
#[derive(Debug)]
pub struct LetterExport {
    view: LetterView,
    with_records: bool,
}

impl Ops {
    /// Opens an export of dead letters, of all topics or of one: by topic, partition and offset. It goes on behind the letter at `after`,
    /// as after an export that was interrupted. Letters that were written after it was opened are not in it.
    ///
    /// # Errors
    ///
    /// As [`letters`](Self::letters).
    pub async fn export_letters(
        &self,
        topic: Option<&str>,
        filter: LetterFilter,
        after: Option<&LetterAddress>,
        with_records: bool,
    ) -> Result<LetterExport, OpsError> {
        let mut view = self.letters(topic, filter).await?;
        if let Some(after) = after {
            view.begin_after(after).await?;
        }
        Ok(LetterExport { view, with_records })
    }
}

impl LetterExport {
    /// Returns the next letters, which may be none; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`OpsError::Kser`] when the backend does not answer. The export has ended then: another one goes on behind the last letter.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ExportedLetter>>, OpsError> {
        let with_records = self.with_records;
        let page = self.view.next_records().await?;
        let export = |(letter, record): (Letter, Record)| ExportedLetter {
            letter,
            record: with_records.then(|| ExportedRecord::new(&record)),
        };
        Ok(page.map(|page| page.into_iter().map(export).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_text() {
        let text = |bytes: &[u8]| serde_json::to_value(ExactText::of(bytes)).unwrap();
        assert_eq!(text(b"{}"), serde_json::json!({"text": "{}"}));
        assert_eq!(text(b""), serde_json::json!({"text": ""}));
        let bytes: Vec<u8> = (0..=255).collect();
        let ExactText::Base64(encoded) = ExactText::of(&bytes) else {
            panic!("they are no UTF-8");
        };
        assert_eq!(BASE64.decode(encoded.as_bytes()).unwrap(), bytes);
    }
}
