use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A moment of a run at which a fault may happen. It is named by its event and not by its time, so that it is found again in
/// another run of the same scenario, and after an unrelated change of code.
///
/// `Checkout#1/2.Charge/commit/1` is the first commit of the record of the second step of the first run of `Checkout`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    path: Arc<str>,
    nth: u32,
}

/// The kind of the event at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A consumer joins a group.
    Subscribe,
    /// A record is delivered.
    Receive,
    /// Records are published.
    Publish,
    /// The outputs of a delivery are published and it is marked as done, both together.
    Settle,
    /// A delivery is marked as done.
    Commit,
    /// A suspected poison message is about to run.
    Begin,
    /// A consumer leaves its group.
    Close,
    /// The store is read.
    Read,
    /// The store is written.
    Write,
    /// A handler calls an external service, see [`Effects`](crate::Effects).
    Effect,
    /// A handler waits for something.
    Await,
}

impl Site {
    pub(crate) fn new(path: impl Into<Arc<str>>, nth: u32) -> Self {
        let path = path.into();
        Self { path, nth }
    }

    /// Returns the event of the site, without its number.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the number of the event among the equal ones of the run, counted from 1.
    #[must_use]
    pub const fn nth(&self) -> u32 {
        self.nth
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.path, self.nth)
    }
}

impl FromStr for Site {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.trim().rsplit_once('/');
        let parsed = parts.and_then(|(path, nth)| Some(Self::new(path, nth.parse().ok()?)));
        parsed
            .ok_or_else(|| format!("{text:?} is not a site, such as Checkout#1/2.Charge/commit/1"))
    }
}
