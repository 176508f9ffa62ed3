use std::fmt;

use crate::Error;

/// The records of a call that may not be durable. The source is the first reason.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotPublished {
    /// The positions of the records in the call, with the reasons. A record that is not published because of another comes after
    /// that.
    pub failed: Vec<(usize, Error)>,
}

impl NotPublished {
    /// Makes the error from positions and reasons.
    #[must_use]
    pub const fn new(failed: Vec<(usize, Error)>) -> Self {
        Self { failed }
    }

    /// Returns the first reason.
    #[must_use]
    pub fn into_error(self) -> Error {
        let first = self.failed.into_iter().next();
        first.map_or(Error::Closed, |(_, error)| error)
    }
}

impl fmt::Display for NotPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.failed.len();
        write!(f, "{count} of the records may not be published")
    }
}

impl std::error::Error for NotPublished {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let (_, first) = self.failed.first()?;
        Some(first)
    }
}
