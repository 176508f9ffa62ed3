//! The frame of commit metadata: version, flags, and a checksum that also covers the offset, so that metadata of other programs
//! and of other offsets is recognized.

/// The number of bytes before the body: version and flags, and the checksum.
pub(super) const LEN: usize = 1 + 4;

/// The layout of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Without a topic: a byte for the version, 8 bytes of checksum, a byte of flags. It is only read, and not written any
    /// more.
    One,
    /// A byte for the version and the flags, 4 bytes of checksum.
    Two,
    /// As version 2, with the numbers of failed attempts before the map. Members of earlier releases, which do not know these,
    /// must not read it.
    Three,
}

impl Version {
    /// Returns the number in the low half of the first byte.
    const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// Metadata with a valid checksum.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsealed<'t> {
    pub(super) version: Version,
    pub(super) flags: u8,
    pub(super) body: &'t [u8],
}

/// Writes metadata of version 2 or later. Flags must be below 16.
pub(super) fn seal(base: i64, version: Version, flags: u8, body: &[u8]) -> Vec<u8> {
    let head = flags << 4 | version.number();
    let mut bytes = vec![head];
    bytes.extend_from_slice(&short_check(base, head, body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Writes metadata of version 1, as members of an earlier release do.
#[cfg(test)]
pub(super) fn seal_as_before(base: i64, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&check(base, flags, body).to_le_bytes());
    bytes.push(flags);
    bytes.extend_from_slice(body);
    bytes
}

/// Reads metadata that was written for this offset. `None` for any other bytes.
pub(super) fn unseal(base: i64, bytes: &[u8]) -> Option<Unsealed<'_>> {
    let (&head, rest) = bytes.split_first()?;
    match head {
        1 => {
            let (sum, rest) = rest.split_first_chunk()?;
            let (&flags, body) = rest.split_first()?;
            let is_right = u64::from_le_bytes(*sum) == check(base, flags, body);
            is_right.then_some(Unsealed {
                version: Version::One,
                flags,
                body,
            })
        }
        _ => {
            let version = [Version::Two, Version::Three]
                .into_iter()
                .find(|version| version.number() == head & 0xf)?;
            let (sum, body) = rest.split_first_chunk()?;
            let is_right = u32::from_le_bytes(*sum) == short_check(base, head, body);
            is_right.then_some(Unsealed {
                version,
                flags: head >> 4,
                body,
            })
        }
    }
}

fn short_check(base: i64, head: u8, body: &[u8]) -> u32 {
    let sum = check(base, head, body);
    (sum ^ sum >> 32) as u32
}

/// Hashes metadata together with its offset (FNV-1a).
fn check(base: i64, head: u8, body: &[u8]) -> u64 {
    let head = base.to_le_bytes().into_iter().chain([head]);
    head.chain(body.iter().copied())
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
