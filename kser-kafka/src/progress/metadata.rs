//! The text beside a committed offset: what a successor must know and the offset alone does not say.

use std::ops::Range;

use super::done_map::{self, Form};
use super::failed::Failed;
use super::seal::{self, Unsealed, Version};
use super::{TopicMark, base64, varint};

const IS_FINAL: u8 = 1;
const AS_BITS: u8 = 2;
const HAS_TOPIC: u8 = 4;
const TOPIC_MARK_BYTES: usize = 8;
const WRITER_ID_BYTES: usize = 4;
/// The most bytes of all but the suspects and the map: the seal, the topic, the author, the three marks and the number of
/// suspects.
const HEADER: usize = seal::LEN + TOPIC_MARK_BYTES + WRITER_ID_BYTES + 4 * varint::LONGEST;
const ONE_SUSPECT: usize = 2 * varint::LONGEST;

/// How many bytes of text the broker takes beside an offset (its `offset.metadata.max.bytes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetadataBudget {
    /// In bytes before they become text.
    bytes: usize,
}

impl MetadataBudget {
    /// The least that holds the counts, one suspect, and a small map.
    pub(crate) const SMALLEST: usize = 256;

    /// Takes a number of bytes of text. `None` when it is below [`MetadataBudget::SMALLEST`].
    pub(crate) const fn new(text: usize) -> Option<Self> {
        if text < Self::SMALLEST {
            return None;
        }
        Some(Self {
            bytes: base64::bytes_in(text),
        })
    }

    /// Returns half of it, but not less than [`MetadataBudget::SMALLEST`].
    pub(crate) fn halved(self) -> Self {
        Self {
            bytes: (self.bytes / 2).max(base64::bytes_in(Self::SMALLEST)),
        }
    }

    /// What the suspects may take. Each runs alone in its process, so that there are few.
    const fn for_suspects(self) -> usize {
        self.bytes / 8
    }

    /// What the map has for certain.
    pub(super) const fn for_map(self) -> usize {
        self.bytes - HEADER - self.for_suspects()
    }
}

impl Default for MetadataBudget {
    /// 4096 bytes, which brokers take unless they are told otherwise.
    fn default() -> Self {
        Self {
            bytes: base64::bytes_in(4096),
        }
    }
}

/// What is said beside an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The topic of which this was written; `None` when that was not known, or in a text of version 1.
    pub(super) topic: Option<TopicMark>,
    /// The member that wrote this.
    pub(super) writer: u64,
    /// Nothing runs any more under who wrote this.
    pub(super) is_final: bool,
    /// Records below it may have begun under who wrote this.
    pub(super) ahead: i64,
    /// Records below it may have begun once before, and ended without a report.
    pub(super) once: i64,
    /// And those below it twice.
    pub(super) twice: i64,
    /// Those that are counted one by one, the important ones first.
    pub(super) suspects: Vec<Suspect>,
    /// How often attempts at records failed. They take what the map leaves, and those at the far end are left out.
    pub(super) failed: Failed,
    /// What is done above the offset.
    pub(super) done: Vec<Range<i64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) offset: i64,
    pub(super) unreported: u32,
    /// Whether it may have begun once more.
    pub(super) begun: bool,
}

/// The text, and what did not fit into it.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) text: String,
    /// How many of the suspects are in it, from the first on.
    pub(super) n_suspects: usize,
    /// Whether the whole map is in it.
    pub(super) map_is_complete: bool,
}

impl Metadata {
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
                u64::from(suspect.unreported) << 1 | u64::from(suspect.begun),
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
            text: base64::encode(&bytes),
            n_suspects,
            map_is_complete: map.complete,
        }
    }

    /// Reads what [`encode`](Self::encode) wrote for this offset. `None` for anything else.
    pub(super) fn decode(base: i64, text: &[u8]) -> Option<Self> {
        let bytes = base64::decode(text)?;
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
                unreported: u32::try_from(count >> 1).ok()?,
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

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}
