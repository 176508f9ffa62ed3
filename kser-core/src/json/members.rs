use super::decode_error::DecodeError;
use super::scan::Scanner;
use super::text::unescape;

/// The name of a member: as text, and as it was written, with its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'n, 'a> {
    pub(crate) name: &'n str,
    pub(crate) token: &'a str,
}

/// The members of an object, in order: each name with its quotes, and the text of its value.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    begun: bool,
}

impl<'a> Members<'a> {
    /// Takes the opening brace of an object.
    pub(crate) fn of(mut scanner: Scanner<'a>) -> Result<Self, DecodeError> {
        scanner.expect(b'{')?;
        Ok(Self {
            scanner,
            begun: false,
        })
    }

    /// Returns the next name; `None` behind the closing brace. Its value has to be taken from [`scanner`](Self::scanner).
    pub(crate) fn key(&mut self) -> Result<Option<&'a str>, DecodeError> {
        if self.scanner.take(b'}') {
            return Ok(None);
        }
        if self.begun && !self.scanner.take(b',') {
            return Err(self.scanner.unexpected("',' or '}'"));
        }
        self.begun = true;
        let key = self.scanner.key()?;
        self.scanner.skip_space();
        Ok(Some(key))
    }

    /// Returns the next name, the byte at which its value begins, and the value; `None` behind the closing brace.
    pub(crate) fn next(&mut self) -> Result<Option<(&'a str, usize, &'a str)>, DecodeError> {
        let Some(key) = self.key()? else {
            return Ok(None);
        };
        let at = self.scanner.at();
        let value = self.scanner.value()?;
        Ok(Some((key, at, value)))
    }

    /// Calls `read` for each member, with its name and the scanner at its value. Returns the scanner after the object.
    ///
    /// Of two equal names only the last counts, as in Python: the error of a value that a later one replaces is dropped.
    pub(crate) fn read_each(
        mut self,
        mut read: impl FnMut(Key<'_, 'a>, &mut Scanner<'a>) -> Result<(), DecodeError>,
    ) -> Result<Scanner<'a>, DecodeError> {
        let mut errors: Vec<(String, DecodeError)> = Vec::new();
        while let Some(token) = self.key()? {
            let (name, value) = (unescape(token).0, self.scanner.clone());
            let key = Key { name: &name, token };
            let judged = read(key, &mut self.scanner);
            errors.retain(|(wrong, _)| *wrong != *name);
            if let Err(error) = judged {
                // A value that is refused must still be JSON.
                self.scanner = value;
                self.scanner.value()?;
                errors.push((name.into_owned(), error));
            }
        }
        match errors.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(self.scanner),
        }
    }

    /// Calls `read` for each member as [`read_each`](Self::read_each) does, with its name, the first byte of its value, and
    /// the value.
    pub(crate) fn read_values(
        self,
        mut read: impl FnMut(Key<'_, 'a>, usize, &'a str) -> Result<(), DecodeError>,
    ) -> Result<Scanner<'a>, DecodeError> {
        self.read_each(|key, scanner| {
            let at = scanner.at();
            let value = scanner.value()?;
            read(key, at, value)
        })
    }
}
