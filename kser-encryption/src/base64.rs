//! The base64 of kser-crypto: lines of 76 characters on writing, and the leniency of Python's `base64.b64decode` on reading.

/// The characters of a line, without its end.
const LINE: usize = 76;

/// The line end, as JSON escapes it.
const ESCAPED_LINE_END: &str = "\\n";

const SKIPPED: u8 = 0xff;

/// The value of each byte that is a character of the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [SKIPPED; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < alphabet.len() {
        values[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    values
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

/// Appends base64 in lines of 76 characters, with escaped line ends between them and none behind the last.
pub(crate) fn write_lines(bytes: &[u8], out: &mut String) {
    for (index, line) in bytes.chunks(LINE / 4 * 3).enumerate() {
        if index > 0 {
            out.push_str(ESCAPED_LINE_END);
        }
        data_encoding::BASE64.encode_append(line, out);
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
    let (groups, _) = text.as_chunks::<4>();
    let mut done = 0;
    for group in groups {
        let [a, b, c, d] = group.map(|byte| VALUES[usize::from(byte)]);
        if a | b | c | d > 0x3f {
            break;
        }
        let quad = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        out.extend_from_slice(&quad.to_be_bytes()[1..]);
        done += 4;
    }
    &text[done..]
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
            let mut text = String::new();
            write_lines(&bytes, &mut text);
            assert_eq!(text.len(), lines_len(bytes.len()), "{length}");
            let lines: Vec<&str> = text.split("\\n").collect();
            let (last, whole) = lines.split_last().unwrap();
            assert!(whole.iter().all(|line| line.len() == 76));
            assert!(last.len() <= 76 && (length == 0 || !last.is_empty()));
            assert_eq!(decoded(&text.replace("\\n", "\n")), Some(bytes));
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
