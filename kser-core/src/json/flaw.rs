use std::fmt;

/// What is wrong with a text, and at which byte. It is boxed to keep the results of a scanner small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    at: usize,
    what: String,
}

impl Flaw {
    #[cold]
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self(Box::new(Inner { at, what }))
    }

    /// Says it with line and column, counted from 1.
    pub(crate) fn within(&self, bytes: &[u8]) -> String {
        let before = &bytes[..self.0.at.min(bytes.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before
            .iter()
            .rev()
            .take_while(|byte| **byte != b'\n')
            .count()
            + 1;
        format!(
            "{} at line {line} column {column} (byte {})",
            self.0.what, self.0.at
        )
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.0.what, self.0.at)
    }
}
