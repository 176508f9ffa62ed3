use super::decode_error::DecodeError;
use super::depth::{MAX_DEPTH, Open};

/// A scanner of JSON text (RFC 8259) that builds no values, and does not recurse at any depth.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the text from a place up to the scanner.
    pub(crate) fn text_from(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Moves the scanner by some bytes.
    pub(crate) const fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes the text, if it is next.
    pub(crate) fn take_text(&mut self, text: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Takes the byte, if it is next behind white space.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{}'", char::from(byte)))),
        }
    }

    /// Moves to the end of the text. Only white space may be in front of it.
    pub(crate) fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(b'{' | b'[') => Err(DecodeError::new(self.at, "a second document")),
            Some(0) => Err(DecodeError::new(self.at, "a zero byte behind the document")),
            Some(_) => Err(DecodeError::new(self.at, "text behind the document")),
        }
    }

    /// Takes one value and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, DecodeError> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') => {}
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                return Ok(&self.text[start..self.at]);
            }
            _ => {
                self.literal()?;
                return Ok(&self.text[start..self.at]);
            }
        }
        let mut open = Open::default();
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    if !self.take(b'}') {
                        self.key()?;
                        self.push(&mut open, true)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if !self.take(b']') {
                        self.push(&mut open, false)?;
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => self.literal()?,
            }
            if self.close(&mut open)? {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    fn push(&self, open: &mut Open, object: bool) -> Result<(), DecodeError> {
        match open.push(object) {
            true => Ok(()),
            false => {
                let what = format!("more than {MAX_DEPTH} levels of nesting");
                Err(DecodeError::new(self.at, what))
            }
        }
    }

    /// Closes the containers that end after a value. Returns whether all are closed.
    fn close(&mut self, open: &mut Open) -> Result<bool, DecodeError> {
        while let Some(object) = open.last() {
            if self.take(b',') {
                if object {
                    self.key()?;
                }
                return Ok(false);
            }
            let (end, name) = match object {
                true => (b'}', "',' or '}'"),
                false => (b']', "',' or ']'"),
            };
            if !self.take(end) {
                return Err(self.unexpected(name));
            }
            open.pop();
        }
        Ok(true)
    }

    /// Takes a name and the colon behind it, and returns the name with its quotes.
    pub(crate) fn key(&mut self) -> Result<&'a str, DecodeError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in double quotes"));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Takes a string, and returns it with its quotes.
    fn string(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        self.at += 1;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => {
                    return Err(DecodeError::new(self.at, "a control character in a string"));
                }
                _ => return Err(DecodeError::new(self.at, "the text ends within a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), DecodeError> {
        let bytes = self.text.as_bytes();
        let length = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6);
                match digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    true => 6,
                    false => return Err(DecodeError::new(self.at, "not an escape of JSON")),
                }
            }
            _ => return Err(DecodeError::new(self.at, "not an escape of JSON")),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let wrong = |this: &Self| Err(DecodeError::new(start, this.no_number(start)));
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return wrong(self),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return wrong(self);
            }
            self.digits();
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return wrong(self);
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn no_number(&self, start: usize) -> String {
        match self.text[start..].starts_with("-Infinity") {
            true => "-Infinity, which is no JSON".to_owned(),
            false => "not a number of JSON".to_owned(),
        }
    }

    fn literal(&mut self) -> Result<(), DecodeError> {
        let rest = &self.text[self.at..];
        for word in ["true", "false", "null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(());
            }
        }
        for word in ["NaN", "Infinity"] {
            if rest.starts_with(word) {
                return Err(DecodeError::new(
                    self.at,
                    format!("{word}, which is no JSON"),
                ));
            }
        }
        Err(self.unexpected("a value"))
    }

    #[cold]
    pub(crate) fn unexpected(&self, expected: &str) -> DecodeError {
        let found = match self.text[self.at..].chars().next() {
            Some(found) => format!("expected {expected}, found {found:?}"),
            None => format!("the text ends where {expected} is expected"),
        };
        DecodeError::new(self.at, found)
    }
}

/// Counts the bytes before the first quote, backslash or control character, which a JSON string contains without escapes.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        // The lowest byte whose high bit is set here is the first that matters; those above it may be wrong.
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = control | is_zero(word ^ (ONES * 0x22)) | is_zero(word ^ (ONES * 0x5c));
        if found & HIGH != 0 {
            return at + (found & HIGH).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + rest.take_while(|byte| !special(byte)).count()
}
