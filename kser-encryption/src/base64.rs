//! Base64: in one line, read strictly; and that of kser-crypto, in lines of 76 characters, read as leniently as by Python's
//! `base64.b64decode`.

use data_encoding::BASE64;

/// The characters of a line, without its end.
const LINE: usize = 76;

/// The line end, as JSON escapes it.
const ESCAPED_LINE_END: &[u8] = b"\\n";

const SKIPPED: u8 = 0xff;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The two characters for each 12 bits.
static PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut bits = 0;
    while bits < pairs.len() {
        pairs[bits] = [ALPHABET[bits >> 6], ALPHABET[bits & 0x3f]];
        bits += 1;
    }
    pairs
};

/// The value of each byte that is a character of the alphabet.
static VALUES: [u8; 256] = {
    let mut values = [SKIPPED; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

/// The value of each character at each of the four places of a group; more than 24 bits for any other byte.
static SHIFTED: [[u32; 256]; 4] = {
    let mut shifted = [[u32::MAX; 256]; 4];
    let mut at = 0;
    while at < ALPHABET.len() * 4 {
        let (place, value) = (at % 4, at / 4);
        shifted[place][ALPHABET[value] as usize] = (value as u32) << (18 - 6 * place);
        at += 1;
    }
    shifted
};

/// Returns the length of the text that [`write_lines`] writes for this many bytes.
pub(crate) const fn lines_len(bytes: usize) -> usize {
    let characters = bytes.div_ceil(3) * 4;
    let breaks = match characters {
        0 => 0,
        _ => (characters - 1) / LINE,
    };
    characters + breaks * ESCAPED_LINE_END.len()
}

/// Appends base64 in one line.
pub(crate) fn write(bytes: &[u8], out: &mut Vec<u8>) {
    let (groups, rest) = bytes.as_chunks::<3>();
    let begin = out.len();
    out.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    let (places, _) = out[begin..].as_chunks_mut::<4>();
    for (&[a, b, c], place) in groups.iter().zip(&mut *places) {
        let [a, b, c] = [a, b, c].map(usize::from);
        let [first, second] = PAIRS[a << 4 | b >> 4];
        let [third, fourth] = PAIRS[(b & 0xf) << 8 | c];
        *place = [first, second, third, fourth];
    }
    if let (false, Some(last)) = (rest.is_empty(), places.last_mut()) {
        BASE64.encode_mut(rest, last);
    }
}

/// Appends base64 in lines of 76 characters, with escaped line ends between them and none behind the last.
pub(crate) fn write_lines(bytes: &[u8], out: &mut Vec<u8>) {
    for (index, line) in bytes.chunks(LINE / 4 * 3).enumerate() {
        if index > 0 {
            out.extend_from_slice(ESCAPED_LINE_END);
        }
        write(line, out);
    }
}

/// Decodes base64 in one line, which must be as [`write`] writes it.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    decode_line(text, &mut out).then_some(out)
}

/// Decodes base64 in lines, which must be as [`write_lines`] writes them.
pub(crate) fn decode_lines(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while let Some((line, behind)) = rest.split_at_checked(LINE) {
        let Some(next) = behind.strip_prefix(ESCAPED_LINE_END) else {
            break;
        };
        if !decode_whole(line, &mut out).is_empty() {
            return None;
        }
        rest = next;
    }
    (rest.len() <= LINE && decode_line(rest, &mut out)).then_some(out)
}

/// Appends the decoded line, and says whether it is one.
fn decode_line(text: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((whole, last)) = text.split_last_chunk::<4>() else {
        return text.is_empty();
    };
    let mut bytes = [0; 3];
    match BASE64.decode_mut(last, &mut bytes) {
        Ok(length) if whole.len() % 4 == 0 && decode_whole(whole, out).is_empty() => {
            out.extend_from_slice(&bytes[..length]);
            true
        }
        _ => false,
    }
}

/// Appends the decoded text, as Python's `base64.b64decode` reads it: characters outside the alphabet are skipped, and the padding
/// must be complete. Says whether the text is valid.
pub(crate) fn decode_lenient(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.reserve(text.len() / 4 * 3 + 3);
    let mut rest = text;
    let (mut quad, mut filled, mut pads) = (0_u32, 0_u32, 0_u32);
    loop {
        if filled == 0 {
            rest = decode_whole(rest, out);
        }
        let [byte, behind @ ..] = rest else {
            return filled == 0;
        };
        rest = behind;
        if *byte == b'=' {
            if filled >= 2 {
                pads += 1;
                if filled + pads >= 4 {
                    // Python reads no further.
                    return true;
                }
            }
            continue;
        }
        let value = VALUES[usize::from(*byte)];
        if value == SKIPPED {
            continue;
        }
        pads = 0;
        // The bits of a character go out as soon as they make a byte.
        quad = quad << 6 | u32::from(value);
        filled = match filled {
            0 => 1,
            1 => {
                out.push((quad >> 4) as u8);
                2
            }
            2 => {
                out.push((quad >> 2) as u8);
                3
            }
            _ => {
                out.push(quad as u8);
                quad = 0;
                0
            }
        };
    }
}

/// Decodes groups of four characters of the alphabet, up to the first other character. Returns the rest.
fn decode_whole<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let mut rest = text;
    while let Some((groups, behind)) = next_groups(rest) {
        let begin = out.len();
        out.resize(begin + groups.len() * 3, 0);
        let (places, _) = out[begin..].as_chunks_mut::<3>();
        let mut all = 0;
        for (group, place) in groups.iter().zip(places) {
            let bits = bits(group);
            all |= bits;
            let [_, bytes @ ..] = bits.to_be_bytes();
            *place = bytes;
        }
        if all > 0xff_ffff {
            let whole = groups.iter().take_while(|group| bits(group) <= 0xff_ffff);
            let whole = whole.count();
            out.truncate(begin + whole * 3);
            return &rest[whole * 4..];
        }
        rest = behind;
    }
    rest
}

/// Returns the 24 bits of a group; more if a character is not of the alphabet.
fn bits(group: &[u8; 4]) -> u32 {
    let [a, b, c, d] = group.map(usize::from);
    SHIFTED[0][a] | SHIFTED[1][b] | SHIFTED[2][c] | SHIFTED[3][d]
}

/// Takes so few groups of four characters that it costs little if the first one ends them.
fn next_groups(text: &[u8]) -> Option<(&[[u8; 4]], &[u8])> {
    let (groups, _) = text.as_chunks::<4>();
    let groups = &groups[..groups.len().min(256)];
    (!groups.is_empty()).then(|| (groups, &text[groups.len() * 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode_lenient(text.as_bytes(), &mut out).then_some(out)
    }

    #[test]
    fn lines_have_76_characters_and_escaped_ends() {
        for length in [0, 1, 56, 57, 58, 113, 114, 115, 1000] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut text = Vec::new();
            write_lines(&bytes, &mut text);
            assert_eq!(decode_lines(&text).as_ref(), Some(&bytes), "{length}");
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.len(), lines_len(bytes.len()), "{length}");
            let lines: Vec<&str> = text.split("\\n").collect();
            let (last, whole) = lines.split_last().unwrap();
            assert!(whole.iter().all(|line| line.len() == 76));
            assert!(last.len() <= 76 && (length == 0 || !last.is_empty()));
            assert_eq!(decoded(&text.replace("\\n", "\n")), Some(bytes));
        }
    }

    #[test]
    fn a_line_is_read_only_as_it_is_written() {
        for length in (0..8).chain([30]) {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 37) as u8).collect();
            let mut text = b"before".to_vec();
            write(&bytes, &mut text);
            let text = text.strip_prefix(b"before").unwrap();
            assert_eq!(text, BASE64.encode(&bytes).as_bytes());
            assert_eq!(decode(text).as_ref(), Some(&bytes));
            for at in 0..text.len() {
                for other in 0..=255 {
                    let mut changed = text.to_vec();
                    changed[at] = other;
                    // One text for each value, and no padding before the end.
                    let expected = BASE64.decode(&changed).ok();
                    let expected = expected.filter(|it| BASE64.encode(it).as_bytes() == changed);
                    assert_eq!(decode(&changed), expected, "{changed:?}");
                }
                let cut = decode(&text[at..]).map(|it| BASE64.encode(&it));
                assert!(cut.is_none_or(|cut| cut.as_bytes() == &text[at..]));
            }
        }
    }

    #[test]
    fn lines_are_read_only_as_they_are_written() {
        for faulty in ["A", "AA=", "AAAA\\n", "AA==AAAA", "AAAA\nAAAA"] {
            assert_eq!(decode_lines(faulty.as_bytes()), None, "{faulty}");
        }
        let line = "A".repeat(76);
        let written = format!("{line}\\n{line}");
        assert_eq!(decode_lines(written.as_bytes()), Some(vec![0; 114]));
        for faulty in [
            format!("{line}{line}"),
            format!("{line}\\n\\n{line}"),
            format!("{line}\\n{line}AAAA"),
            format!("{}=\\n{line}", &line[1..]),
        ] {
            assert_eq!(decode_lines(faulty.as_bytes()), None, "{faulty}");
        }
    }

    #[test]
    fn reading_is_as_lenient_as_python() {
        // Each answer is that of Python's `base64.b64decode`.
        let cases: [(&str, Option<&[u8]>); 18] = [
            ("", Some(b"")),
            ("aGk=", Some(b"hi")),
            ("aGk", None),
            ("aA==", Some(b"h")),
            ("aA=", None),
            ("a", None),
            ("aGlo", Some(b"hih")),
            ("a G\r\nl\to", Some(b"hih")),
            ("!a!G!k!=!", Some(b"hi")),
            ("aGk=aGk=", Some(b"hi")),
            ("aGk==", Some(b"hi")),
            ("=aGk=", Some(b"hi")),
            ("a=Gk=", Some(b"hi")),
            ("aG=k", None),
            ("aG=k=", Some(b"hi")),
            ("aG=lo", Some(b"hih")),
            ("aG-_k=", Some(b"hi")),
            ("====", Some(b"")),
        ];
        for (text, expected) in cases {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
