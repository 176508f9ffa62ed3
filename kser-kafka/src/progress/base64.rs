//! Base64 (RFC 4648) without padding, which every broker keeps and every tool shows.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns the number of bytes that fit into a text of this length.
pub(super) const fn bytes_in(text: usize) -> usize {
    text / 4 * 3 + (text % 4) * 3 / 4
}

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

/// Decodes the output of [`encode`]. `None` for any other text.
pub(super) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let text = text.as_ref();
    let mut bytes = Vec::with_capacity(bytes_in(text.len()));
    for group in text.chunks(4) {
        let mut bits = 0;
        for at in 0..4 {
            bits = bits << 6 | group.get(at).map_or(Some(0), |digit| value(*digit))?;
        }
        let bits: [u8; 4] = u32::to_be_bytes(bits);
        let (whole, rest) = bits[1..].split_at(group.len() - 1);
        if whole.is_empty() || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(whole);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    Some(match digit {
        b'A'..=b'Z' => u32::from(digit - b'A'),
        b'a'..=b'z' => u32::from(digit - b'a') + 26,
        b'0'..=b'9' => u32::from(digit - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_the_examples_of_the_rfc() {
        let examples = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
        for (len, text) in examples.into_iter().enumerate() {
            assert_eq!(encode(&b"foobar"[..len]), text);
        }
    }

    #[test]
    fn refuses_what_it_does_not_write() {
        for text in ["A", "Zh", "Zg==", "Zm9\n", "Zm9vA", "zß"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn gives_back_what_was_written(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let text = encode(&bytes);
            prop_assert_eq!(bytes_in(text.len()), bytes.len());
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn reads_one_text_only_for_each_value(text in "[A-Za-z0-9+/]{0,12}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
