#![doc = include_str!("../README.md")]

mod absent;
mod access;
mod causes;
mod consumer_line;
mod diagnosis;
mod document;
mod duration;
mod error;
mod estimate;
mod fingerprint;
mod json;
mod letter;
mod ops;
mod probe;
mod text;

pub use self::access::{Access, shown_url};
pub use self::causes::{CauseCounter, Causes, LetterCause};
pub use self::consumer_line::{ConsumerLine, PauseLine, RunningLine};
pub use self::diagnosis::{Diagnosis, Queue, Reason, RunFacts};
pub use self::document::{
    ActDocument, ErrorDocument, ErrorFields, EventLine, IdDocument, LetterDocument, RunDocument,
    SCHEMA,
};
pub use self::duration::Spoken;
pub use self::error::{ErrorKind, OpsError};
pub use self::estimate::{Estimate, StepTimes};
pub use self::fingerprint::{CauseId, CausePrefix, pattern};
pub use self::letter::{Letter, LetterAddress};
pub use self::ops::act_report::{ActReport, LeftBehind};
pub use self::ops::brake::Ends;
pub use self::ops::chain::{ChainAttempt, ChainStep, RunChain, StepState};
pub use self::ops::consumer_act::{CommandedConsumer, ConsumerReport, ConsumerVerb};
pub use self::ops::groups::GroupLine;
pub use self::ops::letter_export::{
    ExactText, ExportedHeader, ExportedLetter, ExportedRecord, LetterExport,
};
pub use self::ops::letter_plan::{LeftLetter, LetterPlan, LetterVerb};
pub use self::ops::letters::{LetterFilter, LetterView};
pub use self::ops::pace::Pace;
pub use self::ops::run_causes::{RunCause, RunCauses};
pub use self::ops::run_plan::{LeftRun, RunAct, RunChoice, RunPlan};
pub use self::ops::runs::{AttemptLine, RunFailure, RunLine, RunPage, RunShown};
pub use self::ops::status::{Need, RunCounts, Summary, letters_left};
pub use self::ops::topics::{Backlog, PartitionLine, TopicLine};
pub use self::ops::waiting::{Wait, WaitKind, Waiting};
pub use self::ops::{Ops, Part};
pub use self::probe::{Probe, ProbeAnswer, probe};
pub use self::text::clean;
