//! The metadata of a commit: the state of the partition that the committed offset alone does not tell the next owner.

use std::ops::Range;

use data_encoding::BASE64_NOPAD;

use super::done_map::{self, Form};
use super::failed::Failed;
use super::seal::{self, Unsealed, Version};
use super::{TopicMark, varint};

const IS_FINAL: u8 = 1;
const AS_BITS: u8 = 2;
const HAS_TOPIC: u8 = 4;
const TOPIC_MARK_BYTES: usize = 8;
const WRITER_ID_BYTES: usize = 4;
/// The greatest size of the fixed part, in bytes: the seal, the topic, the writer, the three marks and the number of suspected
/// poison messages.
const HEADER: usize = seal::LEN + TOPIC_MARK_BYTES + WRITER_ID_BYTES + 4 * varint::LONGEST;
const ONE_SUSPECT: usize = 2 * varint::LONGEST;

/// The size limit of commit metadata: the brokers' `offset.metadata.max.bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetadataBudget {
    /// The size in bytes before the encoding as text.
    bytes: usize,
}

impl MetadataBudget {
    /// The smallest limit, with room for the counts, one suspected poison message, and a small map.
    pub(crate) const SMALLEST: usize = 256;

    /// Makes a limit of this many bytes of text. `None` if it is below [`MetadataBudget::SMALLEST`].
    pub(crate) const fn new(text: usize) -> Option<Self> {
        if text < Self::SMALLEST {
            return None;
        }
        Some(Self {
            bytes: bytes_in(text),
        })
    }

    /// Returns half of the limit, but not less than [`MetadataBudget::SMALLEST`].
    pub(crate) fn half(self) -> Self {
        Self {
            bytes: (self.bytes / 2).max(bytes_in(Self::SMALLEST)),
        }
    }

    /// Returns the number of commits with full metadata in this many bytes, at least one.
    pub(crate) const fn partitions_in(self, bytes: usize) -> usize {
        // The metadata is base64. Names of the group and the topic, and the rest of the broker's record, are beside it.
        const BESIDE: usize = 600;
        let count = bytes / (self.bytes / 3 * 4 + 4 + BESIDE);
        if count == 0 { 1 } else { count }
    }

    /// Returns the space for suspected poison messages. They are few, since each runs alone in its process.
    const fn for_suspects(self) -> usize {
        self.bytes / 8
    }

    /// Returns the guaranteed space of the map.
    pub(super) const fn for_map(self) -> usize {
        self.bytes - HEADER - self.for_suspects()
    }
}

impl Default for MetadataBudget {
    /// Returns the default limit of brokers: 4096 bytes.
    fn default() -> Self {
        Self {
            bytes: bytes_in(4096),
        }
    }
}

/// The content of commit metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CommitMetadata {
    /// The topic of the commit; `None` if it was unknown, and in version 1.
    pub(super) topic: Option<TopicMark>,
    /// The member that committed.
    pub(super) writer: u64,
    /// The commit is the final one: no record runs any more under its writer.
    pub(super) is_final: bool,
    /// Records below it may have started under the writer.
    pub(super) ahead: i64,
    /// Records below it count at least one crashed delivery.
    pub(super) once: i64,
    /// Records below it count at least two crashed deliveries.
    pub(super) twice: i64,
    /// The suspected poison messages that are counted one by one, the important ones first.
    pub(super) suspects: Vec<Suspect>,
    /// The numbers of failed attempts. They get the space that the map leaves, and those at the far end are left out.
    pub(super) failed: Failed,
    /// The done offsets above the committed one.
    pub(super) done: Vec<Range<i64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) offset: i64,
    pub(super) crash_count: u32,
    /// Whether it may have started once more.
    pub(super) begun: bool,
}

/// Encoded metadata, and the parts that did not fit.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) text: String,
    /// The number of suspected poison messages in the text, from the first on.
    pub(super) n_suspects: usize,
    /// Whether the text has the whole map.
    pub(super) map_is_complete: bool,
}

impl CommitMetadata {
    pub(super) fn encode(&self, base: i64, budget: MetadataBudget) -> Encoded {
        let above = |offset: i64| u64::try_from(offset.saturating_sub(base)).unwrap_or(0);
        let topic = self.topic.map(TopicMark::to_le_bytes);
        let mut body = topic.into_iter().flatten().collect::<Vec<_>>();
        body.extend_from_slice(&self.writer.to_le_bytes()[..WRITER_ID_BYTES]);
        for mark in [self.ahead, self.once, self.twice] {
            varint::write(above(mark), &mut body);
        }
        let most = budget.for_suspects() / ONE_SUSPECT;
        let n_suspects = self.suspects.len().min(most.max(1));
        varint::write(n_suspects as u64, &mut body);
        for suspect in &self.suspects[..n_suspects] {
            varint::write(above(suspect.offset), &mut body);
            varint::write(
                u64::from(suspect.crash_count) << 1 | u64::from(suspect.begun),
                &mut body,
            );
        }
        let room = budget.bytes - seal::LEN - body.len();
        let map = done_map::write(base, &self.done, room);
        let failed = self.failed.write(base, room - map.bytes.len());
        body.extend_from_slice(&failed);
        body.extend_from_slice(&map.bytes);
        let is_final = if self.is_final { IS_FINAL } else { 0 };
        let form = if map.form == Form::Bits { AS_BITS } else { 0 };
        let has_topic = if self.topic.is_some() { HAS_TOPIC } else { 0 };
        let version = match failed.is_empty() {
            true => Version::Two,
            false => Version::Three,
        };
        let bytes = seal::seal(base, version, is_final | form | has_topic, &body);
        Encoded {
            text: BASE64_NOPAD.encode(&bytes),
            n_suspects,
            map_is_complete: map.complete,
        }
    }

    /// Decodes the output of [`encode`](Self::encode) for this offset. `None` for any other text.
    pub(super) fn decode(base: i64, text: &[u8]) -> Option<Self> {
        let bytes = BASE64_NOPAD.decode(text).ok()?;
        let Unsealed {
            version,
            flags,
            mut body,
        } = seal::unseal(base, &bytes)?;
        let topic = match flags & HAS_TOPIC {
            0 => None,
            _ => Some(TopicMark::from_le_bytes(take(&mut body)?)),
        };
        let writer = match version {
            Version::One => u64::from_le_bytes(take(&mut body)?),
            Version::Two | Version::Three => u32::from_le_bytes(take(&mut body)?).into(),
        };
        let mut number = || varint::read(&mut body);
        let mut offset = || base.checked_add_unsigned(number()?);
        let (ahead, once, twice) = (offset()?, offset()?, offset()?);
        let mut suspects = Vec::new();
        for _ in 0..number()? {
            let offset = base.checked_add_unsigned(number()?)?;
            let count = number()?;
            suspects.push(Suspect {
                offset,
                crash_count: u32::try_from(count >> 1).ok()?,
                begun: count & 1 == 1,
            });
        }
        let failed = match version {
            Version::One | Version::Two => Failed::default(),
            Version::Three => Failed::read(base, &mut body)?,
        };
        let form = if flags & AS_BITS == 0 {
            Form::Runs
        } else {
            Form::Bits
        };
        Some(Self {
            topic,
            writer,
            is_final: flags & IS_FINAL != 0,
            ahead,
            once,
            twice,
            suspects,
            failed,
            done: done_map::read(form, base, body)?,
        })
    }
}

/// Returns the number of bytes that fit into a base64 text of this length, without padding.
pub(super) const fn bytes_in(text: usize) -> usize {
    text / 4 * 3 + (text % 4) * 3 / 4
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}
