use std::fmt;

/// A fault of JSON text, or of the message in it, with the byte at which it is. Boxed, so that the results of a scanner stay
/// small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DecodeError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    at: usize,
    reason: String,
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(at: usize, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self(Box::new(Inner { at, reason }))
    }

    /// Describes the fault with its line and column, counted from 1.
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
            self.0.reason, self.0.at
        )
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.0.reason, self.0.at)
    }
}
