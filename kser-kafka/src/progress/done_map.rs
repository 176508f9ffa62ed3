//! A compact map of the done offsets above a base: a bit set or run lengths, whichever is smaller.

use std::ops::{Range, RangeInclusive};

use super::varint;

/// The format of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Run lengths, alternately of offsets that are not done and of offsets that are, from the base on.
    Runs,
    /// A bit for each offset after the base. The base itself is never done.
    Bits,
}

/// An encoded map.
#[derive(Debug)]
pub(super) struct EncodedMap {
    pub(super) form: Form,
    pub(super) bytes: Vec<u8>,
    /// Whether the whole map fits.
    pub(super) complete: bool,
}

/// Encodes the done intervals, which are in order and above the base, into at most `room` bytes. The intervals at the far end
/// are left out if they do not fit.
pub(super) fn write(base: i64, done: &[Range<i64>], room: usize) -> EncodedMap {
    let end = done.last().map_or(base, |run| run.end);
    let (runs, reached) = write_runs(base, done, room);
    let room_for_bits = i64::try_from(room).unwrap_or(i64::MAX).saturating_mul(8);
    let bits_reach = base
        .saturating_add(1)
        .saturating_add(room_for_bits)
        .min(end);
    let bits_len = bits_in(bits_reach.abs_diff(base));
    if bits_reach > reached || (bits_reach == end && bits_len < runs.len() as u64) {
        return EncodedMap {
            form: Form::Bits,
            bytes: write_bits(base, done, bits_reach),
            complete: bits_reach == end,
        };
    }
    EncodedMap {
        form: Form::Runs,
        bytes: runs,
        complete: reached == end,
    }
}

fn write_runs(base: i64, done: &[Range<i64>], room: usize) -> (Vec<u8>, i64) {
    let (mut bytes, mut reached) = (Vec::new(), base);
    for run in done {
        let len = bytes.len();
        varint::write(run.start.abs_diff(reached), &mut bytes);
        varint::write(run.end.abs_diff(run.start), &mut bytes);
        if bytes.len() > room {
            bytes.truncate(len);
            break;
        }
        reached = run.end;
    }
    (bytes, reached)
}

fn write_bits(base: i64, done: &[Range<i64>], end: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for offset in done
        .iter()
        .cloned()
        .flatten()
        .take_while(|offset| *offset < end)
    {
        let bit = (offset - base - 1) as usize;
        bytes.resize(bit / 8 + 1, 0);
        bytes[bit / 8] |= 1 << (bit % 8);
    }
    bytes
}

/// Decodes the output of [`write`]. `None` for any other bytes.
pub(super) fn read(form: Form, base: i64, bytes: &[u8]) -> Option<Vec<Range<i64>>> {
    match form {
        Form::Runs => read_runs(base, bytes),
        Form::Bits => read_bits(base, bytes),
    }
}

fn read_runs(mut at: i64, mut bytes: &[u8]) -> Option<Vec<Range<i64>>> {
    let mut done = Vec::new();
    while !bytes.is_empty() {
        let start = at.checked_add_unsigned(varint::read(&mut bytes)?)?;
        let end = start.checked_add_unsigned(varint::read(&mut bytes)?)?;
        if start == at || end == start {
            return None;
        }
        done.push(start..end);
        at = end;
    }
    Some(done)
}

fn read_bits(base: i64, bytes: &[u8]) -> Option<Vec<Range<i64>>> {
    let mut done: Vec<Range<i64>> = Vec::new();
    let first = base.checked_add(1)?;
    first.checked_add_unsigned(bytes.len() as u64 * 8)?;
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
    for (offset, _) in (first..).zip(bits).filter(|(_, is_done)| *is_done) {
        match done.last_mut().filter(|run| run.end == offset) {
            Some(run) => run.end += 1,
            None => done.push(offset..offset + 1),
        }
    }
    Some(done)
}

/// Returns the size of a bit set that spans this many offsets with the base, in bytes.
const fn bits_in(span: u64) -> u64 {
    span.saturating_sub(1).div_ceil(8)
}

/// Returns the greatest size of a map, in bytes: by the number of offsets that it spans, the number of intervals of each kind,
/// and the least and the greatest number of offsets that are not done.
pub(super) fn most_bytes(span: u64, n_intervals: u64, unfinished: RangeInclusive<u64>) -> u64 {
    let of_unfinished = varint::most_bytes(n_intervals, *unfinished.end());
    let of_done = varint::most_bytes(n_intervals, span.saturating_sub(*unfinished.start()));
    bits_in(span).min(of_unfinished + of_done)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes done intervals above a base, from pairs of lengths: not done, and done.
    fn done_runs(base: i64, lengths: &[(i64, i64)]) -> Vec<Range<i64>> {
        let mut at = base;
        let run = |&(hole, done): &(i64, i64)| {
            let start = at + hole;
            at = start + done;
            start..at
        };
        lengths.iter().map(run).collect()
    }

    fn lengths() -> impl Strategy<Value = Vec<(i64, i64)>> {
        let length = || prop_oneof![3 => 1..4_i64, 1 => 1..100_000_i64];
        prop::collection::vec((length(), length()), 0..60)
    }

    #[test]
    fn a_long_run_takes_a_few_bytes_and_scattered_offsets_a_bit_each() {
        let one = write(
            0,
            &[Range {
                start: 1,
                end: 900_000,
            }],
            100,
        );
        assert_eq!((one.form, one.bytes.len()), (Form::Runs, 4));
        let scattered: Vec<Range<i64>> = (1..=400).map(|at| 2 * at..2 * at + 1).collect();
        let scattered = write(0, &scattered, 1000);
        assert_eq!((scattered.form, scattered.bytes.len()), (Form::Bits, 100));
    }

    #[test]
    fn refuses_runs_of_nothing_and_offsets_over_the_largest() {
        assert_eq!(read(Form::Runs, 0, &[0, 1]), None);
        assert_eq!(read(Form::Runs, 0, &[1, 0]), None);
        assert_eq!(read(Form::Runs, 0, &[1]), None);
        assert_eq!(read(Form::Runs, i64::MAX - 1, &[1, 1]), None);
        assert_eq!(read(Form::Bits, i64::MAX - 8, &[1]), None);
    }

    proptest! {
        #[test]
        fn gives_back_what_fits_from_the_near_end(lengths in lengths(), room in 0..300_usize) {
            let done = done_runs(1_000, &lengths);
            let written = write(1_000, &done, room);
            prop_assert!(written.bytes.len() <= room);
            let read = read(written.form, 1_000, &written.bytes).expect("what was written");
            let reached = read.last().map_or(1_000, |run| run.end);
            let near = done.iter().map(|run| run.start..run.end.min(reached)).filter(|run| !run.is_empty());
            prop_assert_eq!(&read, &near.collect::<Vec<_>>());
            prop_assert_eq!(written.complete, read == done);
        }

        #[test]
        fn never_takes_more_than_the_most_bytes(lengths in lengths()) {
            let done = done_runs(0, &lengths);
            let span = done.last().map_or(0, |run| run.end) as u64;
            let unfinished: i64 = lengths.iter().map(|(hole, _)| hole).sum();
            let unfinished = unfinished as u64;
            let most = most_bytes(span, lengths.len() as u64, unfinished..=unfinished);
            prop_assert!(write(0, &done, usize::MAX / 16).bytes.len() as u64 <= most);
        }

        #[test]
        fn reads_any_bytes_without_a_panic(bits: bool, base: i64, bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let form = if bits { Form::Bits } else { Form::Runs };
            let done = read(form, base, &bytes).unwrap_or_default();
            prop_assert!(done.iter().all(|run| base < run.start && run.start < run.end));
        }
    }
}
