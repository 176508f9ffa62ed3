//! The forms in which rows keep the values of the contract.

use bytes::Bytes;
use kser_core::sequencing::{Outcomes, Progress};
use kser_core::{Error, Record, Timestamp, Topic};
use serde::Serialize;

/// A header: a name, and a value that may be absent.
pub(crate) type Header = (String, Option<Bytes>);

/// The length that stands for an absent value.
const ABSENT: u32 = u32::MAX;

/// Makes the error of a row that this version of kser cannot read.
pub(crate) fn unreadable(backend: &'static str, row: &'static str) -> Error {
    Error::Backend {
        backend,
        temporary: false,
        source: format!(
            "cannot read {row}: another version of kser has written it, or it is damaged"
        )
        .into(),
    }
}

/// Writes a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Encode {
        source: source.into(),
    })
}

/// The JSON of a progress, in the columns of a run.
#[derive(Debug, Clone)]
pub(crate) struct ProgressText {
    /// The progress, without its outcomes.
    pub(crate) progress: String,
    /// The outcomes; `None` where the run keeps those that it has.
    pub(crate) outcomes: Option<String>,
}

impl ProgressText {
    pub(crate) fn of(progress: &Progress, keeps_outcomes: bool) -> Result<Self, Error> {
        let outcomes = (!keeps_outcomes).then(|| json(&progress.outcomes()));
        Ok(Self {
            progress: json(&progress.clone().with_outcomes(Outcomes::default()))?,
            outcomes: outcomes.transpose()?,
        })
    }

    /// Reads the progress; its outcomes are the default ones where the run keeps those that it has.
    pub(crate) fn read(&self, backend: &'static str) -> Result<Progress, Error> {
        let outcomes = self.outcomes.as_deref().map(str::as_bytes);
        read_progress(backend, self.progress.as_bytes(), outcomes)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn len(&self) -> usize {
        self.progress.len() + self.outcomes.as_ref().map_or(0, String::len)
    }
}

/// Reads a progress from its columns. The tables before the fourth migration have the outcomes in the progress.
pub(crate) fn read_progress(
    backend: &'static str,
    progress: &[u8],
    outcomes: Option<&[u8]>,
) -> Result<Progress, Error> {
    let unreadable = || unreadable(backend, "the progress of a run");
    let progress: Progress = serde_json::from_slice(progress).map_err(|_| unreadable())?;
    let Some(outcomes) = outcomes else {
        return Ok(progress);
    };
    let outcomes = serde_json::from_slice(outcomes).map_err(|_| unreadable())?;
    Ok(progress.with_outcomes(outcomes))
}

/// Converts a number to the signed one of the same bits, which a column holds.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Converts a time to a column. A time beyond the largest signed number is never reached, and becomes that number.
pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a time from a column.
pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// Encodes headers: for each the length of its name, the name, the length of its value, the value.
pub(crate) fn headers(headers: &[Header]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        part(&mut out, Some(name.as_bytes()));
        part(&mut out, value.as_deref());
    }
    out
}

fn part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    // A record has far less than 4 GiB.
    let length = part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT));
    out.extend(length.to_le_bytes());
    out.extend(part.unwrap_or_default());
}

/// Decodes headers; `None` for bytes that are none.
pub(crate) fn read_headers(mut bytes: &[u8]) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let name = take(&mut bytes)??;
        let value = take(&mut bytes)?;
        let name = String::from_utf8(name.to_vec()).ok()?;
        headers.push((name, value.map(Bytes::copy_from_slice)));
    }
    Some(headers)
}

/// Takes one part: the outer `None` is for bytes that end too early.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    let length = u32::from_le_bytes(*length);
    if length == ABSENT {
        return Some(None);
    }
    let (part, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(Some(part))
}

/// The columns of a record.
#[derive(Debug, Clone)]
pub(crate) struct RecordRow {
    pub(crate) topic: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<u8>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) not_before: Option<i64>,
}

impl RecordRow {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            topic: record.topic.to_string(),
            key: record.key.as_deref().map(<[u8]>::to_vec),
            headers: headers(&record.headers),
            payload: record.payload.as_deref().map(<[u8]>::to_vec),
            not_before: record.not_before.map(millis),
        }
    }

    /// Reads the record; `None` for columns that are none.
    pub(crate) fn read(self) -> Option<Record> {
        let topic = Topic::new(self.topic).ok()?;
        let mut record = Record::new(topic, self.payload.map(Bytes::from));
        record.key = self.key.map(Bytes::from);
        record.headers = read_headers(&self.headers)?;
        record.not_before = self.not_before.map(time);
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let all = vec![
            ("twice".to_owned(), Some(Bytes::from_static(b"1"))),
            ("twice".to_owned(), Some(Bytes::new())),
            (String::new(), Some(Bytes::from_static(&[0, 255]))),
            ("none".to_owned(), None),
        ];
        assert_eq!(read_headers(&headers(&all)), Some(all));
        assert_eq!(read_headers(&[]), Some(Vec::new()));
    }

    #[test]
    fn damaged_headers_are_refused() {
        let whole = headers(&[("name".to_owned(), Some(Bytes::from_static(b"value")))]);
        for end in 1..whole.len() {
            assert_eq!(read_headers(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(read_headers(&[255; 12]), None, "a header without a name");
        assert_eq!(read_headers(&[255, 255, 255, 127, 0]), None);
    }
}
