//! The rights of a request: to look or to act, and the name of its actor.

pub(crate) mod gate;
pub(crate) mod guard;
pub(crate) mod origin;
pub(crate) mod tokens;

/// The rights of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The request is refused.
    None,
    /// This person or program may look.
    Read(String),
    /// This person or program may look and act, where the router has acts.
    Act(String),
}

/// The reason why a gate cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The system gives no random bytes.
    #[error("random bytes for a token cannot be had: {reason}")]
    Random {
        /// The error of the system.
        reason: String,
    },
    /// A token is too short to be a secret.
    #[error(
        "the token has {length} characters, and {least} are the least: a shorter one can be guessed"
    )]
    Short {
        /// Its length.
        length: usize,
        /// The least length.
        least: usize,
    },
    /// The name of a header is none.
    #[error("{name:?} is no name of a header")]
    Header {
        /// The name that was given.
        name: String,
    },
}

/// The person or program behind a request that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// The name, which is kept with the acts.
    pub(crate) actor: String,
    /// Whether acts are offered.
    pub(crate) may_act: bool,
}
