use super::flaw::Flaw;
use super::scan::Scanner;

/// The members of an object, in order: each name with its quotes, and the text of its value.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    scanner: Scanner<'a>,
    begun: bool,
}

impl<'a> Members<'a> {
    /// Begins behind the opening brace of an object, which is taken here.
    pub(crate) fn of(mut scanner: Scanner<'a>) -> Result<Self, Flaw> {
        scanner.expect(b'{')?;
        Ok(Self {
            scanner,
            begun: false,
        })
    }

    /// Returns the next name; `None` behind the closing brace. Its value has to be taken from [`scanner`](Self::scanner).
    pub(crate) fn key(&mut self) -> Result<Option<&'a str>, Flaw> {
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
    pub(crate) fn next(&mut self) -> Result<Option<(&'a str, usize, &'a str)>, Flaw> {
        let Some(key) = self.key()? else {
            return Ok(None);
        };
        let at = self.scanner.at();
        let value = self.scanner.value()?;
        Ok(Some((key, at, value)))
    }

    /// The scanner, where the value of the last name begins.
    pub(crate) const fn scanner(&mut self) -> &mut Scanner<'a> {
        &mut self.scanner
    }

    /// Returns the scanner behind the object.
    pub(crate) fn rest(self) -> Scanner<'a> {
        self.scanner
    }
}
