#![doc = include_str!("../README.md")]

mod absent;
mod access;
mod causes;
mod duration;
mod error;
mod fingerprint;
mod groups;
mod json;
mod letter;
mod letters;
mod ops;
mod probe;
mod status;
mod topics;

pub use self::access::{Access, shown_url};
pub use self::causes::{CauseCounter, Causes, LetterCause};
pub use self::duration::Spoken;
pub use self::error::OpsError;
pub use self::fingerprint::{CauseId, CausePrefix, pattern};
pub use self::groups::GroupLine;
pub use self::letter::{Letter, LetterAddress};
pub use self::letters::{LetterFilter, LetterView};
pub use self::ops::{Ops, Part};
pub use self::probe::{Probe, ProbeAnswer, probe};
pub use self::status::{Need, Summary, letters_left};
pub use self::topics::{Backlog, PartitionLine, TopicLine};
