use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Text of a message. Half a surrogate pair, which is JSON and not Unicode, is kept as it came, so that it passes through
/// unchanged; people see U+FFFD in its place. The default is empty.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text {
    shown: Option<Arc<str>>,
    /// The JSON text with its quotes, where `shown` is not the whole text.
    raw: Option<Arc<str>>,
}

impl Text {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            shown: Some(text).filter(|text| !text.is_empty()).map(Into::into),
            raw: None,
        }
    }

    /// Takes a JSON string that a scanner has taken, with its quotes.
    pub(crate) fn of_token(token: &str) -> Self {
        let (text, whole) = unescape(token);
        let shown = match &*text {
            "" => None,
            text => Some(text.into()),
        };
        Self {
            shown,
            raw: (!whole).then(|| token.into()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.shown.as_deref().unwrap_or_default()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.shown.is_none()
    }

    /// Writes it as a JSON string.
    pub(crate) fn write(&self, out: &mut String) {
        match &self.raw {
            Some(raw) => out.push_str(raw),
            None => write_string(self.as_str(), out),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Writes text as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_at(super::scan::plain(rest.as_bytes()));
        out.push_str(before);
        let mut characters = behind.chars();
        match characters.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => out.push_str(&format!("\\u{:04x}", u32::from(control))),
        }
        rest = characters.as_str();
    }
    out.push('"');
}

/// Reads a JSON string that a scanner has taken, with its quotes. Returns whether the result is the whole text.
pub(crate) fn unescape(token: &str) -> (Cow<'_, str>, bool) {
    let inner = &token[1..token.len() - 1];
    if !inner.contains('\\') {
        return (Cow::Borrowed(inner), true);
    }
    let mut text = String::with_capacity(inner.len());
    let mut whole = true;
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, length) = escaped(&rest[at..]);
        whole &= character.is_some();
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    (Cow::Owned(text), whole)
}

/// Reads one escape, and returns its length. Half a surrogate pair is not a character.
fn escaped(text: &str) -> (Option<char>, usize) {
    let plain = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(text),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (Some(plain), 2)
}

fn unicode(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (None, 2);
    };
    if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, unit(6)) {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code), 12);
    }
    (char::from_u32(first), 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &Text) -> String {
        let mut out = String::new();
        text.write(&mut out);
        out
    }

    #[test]
    fn escapes_are_read() {
        let text = Text::of_token(r#""a\"\\\/\b\f\n\r\t\u00eb\ud83c\udfb2z""#);
        assert_eq!(text.as_str(), "a\"\\/\u{8}\u{c}\n\r\t\u{eb}\u{1f3b2}z");
        assert_eq!(Text::of_token(&written(&text)), text);
    }

    #[test]
    fn half_a_surrogate_pair_passes_through() {
        for token in [r#""x\ud83cy""#, r#""\udfb2""#, r#""\ud83c\ud83c""#] {
            let text = Text::of_token(token);
            assert!(text.as_str().contains('\u{fffd}'));
            assert_eq!(written(&text), token);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            written(&Text::new("a\u{0}\u{1f}\u{7f}b")),
            "\"a\\u0000\\u001f\u{7f}b\""
        );
    }
}
