//! The pattern of an error text: the text with its ids and numbers replaced, so that failures of one cause have one pattern.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The longest pattern, in characters. The rest of a text hardly tells causes apart.
const LONGEST: usize = 240;

/// The shortest text of hexadecimal digits that is taken for an id.
const SHORTEST_HEX_ID: usize = 8;

/// The shortest text of letters and digits that is taken for an id.
const SHORTEST_ID: usize = 20;

/// Replaces the ids of a text by `<id>` and its numbers by `<n>`, and shortens white space and the whole.
///
/// The codes of errors, such as `ERR-29885`, stay. A pattern is its own pattern.
///
/// ```
/// let pattern = kser_ops::pattern("order 17 of 7f3c1d2a-51b0-4c9e-9d0e-2f6f0c1d7b11: refused (os error 111)");
/// assert_eq!(pattern, "order <n> of <id>: refused (os error <n>)");
/// ```
#[must_use]
pub fn pattern(text: &str) -> String {
    let mut out = Pattern::default();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if out.is_full() {
            break;
        }
        let len = match is_of_word(first) {
            true => word_len(rest),
            false => first.len_utf8(),
        };
        let (head, tail) = rest.split_at(len);
        match is_of_word(first) {
            true => out.push_word(head),
            false if first.is_whitespace() => out.push_space(),
            false => out.push(head),
        }
        rest = tail;
    }
    out.text.truncate(out.text.trim_end().len());
    out.text
}

/// A pattern that is being written.
#[derive(Default)]
struct Pattern {
    text: String,
    /// The number of characters.
    length: usize,
}

impl Pattern {
    const fn is_full(&self) -> bool {
        self.length >= LONGEST
    }

    fn push(&mut self, text: &str) {
        for character in text.chars().take(LONGEST - self.length) {
            self.text.push(character);
            self.length += 1;
        }
    }

    fn push_space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.push(" ");
        }
    }

    fn push_word(&mut self, word: &str) {
        if is_error_code(word) {
            return self.push(word);
        }
        if is_id(word) {
            return self.push("<id>");
        }
        let mut rest = word;
        while let Some(at) = rest.find(|character: char| character.is_ascii_digit()) {
            let (head, number) = rest.split_at(at);
            self.push(head);
            self.push("<n>");
            rest = &number[number_len(number)..];
        }
        self.push(rest);
    }
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

/// Returns the length of the word at the start of a text. A number goes on behind a point, a comma or a colon.
fn word_len(text: &str) -> usize {
    let mut before = ' ';
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let mut goes_on = || {
            let follows = characters
                .peek()
                .is_some_and(|(_, next)| next.is_ascii_digit());
            matches!(character, '.' | ',' | ':') && before.is_ascii_digit() && follows
        };
        if !is_of_word(character) && !goes_on() {
            return at;
        }
        before = character;
    }
    text.len()
}

/// Returns the length of the number at the start of a text: digits, also with points, commas and colons between them.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while is_digit(at) || matches!(bytes.get(at), Some(b'.' | b',' | b':')) && is_digit(at + 1) {
        at += 1;
    }
    at
}

/// Says whether a word is the code of an error of kser, such as `ERR-29885`.
fn is_error_code(word: &str) -> bool {
    let digits = word.strip_prefix("ERR-");
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Says whether a word is an id: a UUID, hexadecimal digits, or a long mixture of letters and digits.
fn is_id(word: &str) -> bool {
    let (mut digits, mut others) = (0, 0);
    for byte in word.bytes() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'-' => {}
            b'a'..=b'f' | b'A'..=b'F' => others += 1,
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => others += 100,
            _ => return false,
        }
    }
    let is_hex = others < 100 && digits + others >= SHORTEST_HEX_ID;
    // Words that are joined by hyphens have no digits in most of them.
    let is_mixed = word.len() >= SHORTEST_ID && !word.contains('-') && digits >= 4;
    digits > 0 && others > 0 && (is_hex || is_mixed)
}

/// The id of a cause: of the entrypoint, the code of the error and the pattern of its text. It is the same in every process and
/// in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseId(u32);

impl CauseId {
    /// Makes the id of a cause.
    #[must_use]
    pub fn new(entrypoint: Option<&str>, code: Option<i64>, pattern: &str) -> Self {
        let code = code.map(|code| code.to_string()).unwrap_or_default();
        let parts = [entrypoint.unwrap_or_default(), &code, pattern];
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let folded = (hash ^ (hash >> 32)) & u64::from(u32::MAX);
        Self(u32::try_from(folded).unwrap_or_default())
    }
}

impl fmt::Display for CauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Serialize for CauseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The beginning of the id of a cause, as an operator types it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CausePrefix(String);

impl CausePrefix {
    /// Says whether an id begins so.
    #[must_use]
    pub fn is_of(&self, id: CauseId) -> bool {
        id.to_string().starts_with(&self.0)
    }
}

impl fmt::Display for CausePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CausePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_hex && (4..=8).contains(&text.len()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err("the id of a cause is 4 to 8 hexadecimal digits".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_and_numbers_are_replaced() {
        let check = |text: &str, expected: &str| assert_eq!(pattern(text), expected, "{text}");
        check(
            "connection refused (os error 111)",
            "connection refused (os error <n>)",
        );
        check("at 10.0.0.17:9092, after 1,903 ms", "at <n>, after <n> ms");
        check(
            "12:30:05.250 billing-2 took 30ms",
            "<n> billing-<n> took <n>ms",
        );
        check("run 7f3c1d2a51b04c9e: no row 5", "run <id>: no row <n>");
        check("user zoe42 of abcdef", "user zoe<n> of abcdef");
        check("key 01ARZ3NDEKTSV4RRFFQ69G5FAV.", "key <id>.");
        check(
            "ERR-29885 is not ERR-04413, order ORD-17",
            "ERR-29885 is not ERR-04413, order ORD-<n>",
        );
        check("  a\n\t b  ", "a b");
        check("", "");
    }

    #[test]
    fn a_cause_is_of_entrypoint_code_and_pattern() {
        let id = |entrypoint, code, text| CauseId::new(entrypoint, code, &pattern(text));
        let one = id(Some("billing.Charge"), Some(500), "order 17 refused");
        assert_eq!(
            one,
            id(Some("billing.Charge"), Some(500), "order 4711 refused")
        );
        assert_ne!(
            one,
            id(Some("billing.Refund"), Some(500), "order 17 refused")
        );
        assert_ne!(
            one,
            id(Some("billing.Charge"), Some(501), "order 17 refused")
        );
        assert_ne!(one, id(None, Some(500), "order 17 refused"));
        // It is written down by operators, so that it must never change.
        assert_eq!(one.to_string(), "6e334a7a");
        let prefix: CausePrefix = one.to_string()[..4].to_uppercase().parse().unwrap();
        assert!(prefix.is_of(one));
        assert!("xyz".parse::<CausePrefix>().is_err());
    }

    proptest! {
        #[test]
        fn a_pattern_is_its_own_pattern(text in "\\PC{0,40}|[a-f0-9A-Z<>., :_-]{0,400}") {
            let once = pattern(&text);
            prop_assert!(once.chars().count() <= LONGEST);
            prop_assert_eq!(pattern(&once), once);
        }

        #[test]
        fn other_numbers_have_the_same_pattern(one in any::<u64>(), other in any::<u64>()) {
            let text = |number: u64| format!("row {number} of table-{number}: gone");
            prop_assert_eq!(pattern(&text(one)), pattern(&text(other)));
        }

        #[test]
        fn other_ids_have_the_same_pattern(id in any::<u128>()) {
            let hex = format!("{id:032x}");
            // An id of decimal digits alone is a number.
            prop_assume!(hex.contains(|digit| ('a'..='f').contains(&digit)));
            let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            prop_assert_eq!(pattern(&format!("run {id}: gone")), "run <id>: gone");
        }
    }
}
