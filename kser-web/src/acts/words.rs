use kser::Outcome;
use kser_ops::{LetterVerb, OpsError, RunAct};

use crate::params::Params;

/// The words of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    /// The name in addresses, as the program `kser` has it.
    pub(crate) name: &'static str,
    /// The word of the button.
    pub(crate) button: &'static str,
    /// The rest of the sentence `5 runs would be …`.
    pub(crate) would_be: &'static str,
    /// The word for that which is done.
    pub(crate) done: &'static str,
    /// Whether the act takes something away for ever.
    pub(crate) is_final: bool,
}

const fn words(
    name: &'static str,
    button: &'static str,
    would_be: &'static str,
    done: &'static str,
    is_final: bool,
) -> Words {
    Words {
        name,
        button,
        would_be,
        done,
        is_final,
    }
}

/// The acts on runs.
pub(crate) const RUNS: [Words; 6] = [
    words(
        "resume",
        "Resume",
        "resumed; done steps do not run again",
        "resumed",
        false,
    ),
    words(
        "retry",
        "Retry now",
        "tried again at their steps",
        "tried again",
        false,
    ),
    words(
        "skip",
        "Skip the step",
        "taken past the step",
        "taken past the step",
        false,
    ),
    words(
        "report",
        "Report",
        "told the end of the external step",
        "told the end of the step",
        false,
    ),
    words(
        "cancel",
        "Cancel",
        "cancelled: no further step starts",
        "cancelled",
        true,
    ),
    words(
        "purge",
        "Purge",
        "forgotten, with their histories",
        "forgotten",
        true,
    ),
];

/// The acts on many runs: those that need no outcome.
pub(crate) const MANY: [&str; 4] = ["resume", "retry", "cancel", "purge"];

/// The acts on dead letters.
pub(crate) const LETTERS: [Words; 3] = [
    words(
        "replay",
        "Replay",
        "replayed; done steps do not run again",
        "replayed",
        false,
    ),
    words(
        "renew",
        "Renew",
        "written again, and kept anew",
        "renewed",
        false,
    ),
    words("discard", "Discard", "discarded", "discarded", true),
];

fn unknown(name: &str) -> OpsError {
    OpsError::NotFound {
        what: format!("there is no act {name}"),
    }
}

/// Returns the words of an act on runs.
pub(crate) fn of_runs(name: &str) -> Result<Words, OpsError> {
    let found = RUNS.into_iter().find(|words| words.name == name);
    found.ok_or_else(|| unknown(name))
}

/// Returns the words of an act on letters, and its verb.
pub(crate) fn of_letters(name: &str) -> Result<(Words, LetterVerb), OpsError> {
    let found = LETTERS.into_iter().find(|words| words.name == name);
    let words = found.ok_or_else(|| unknown(name))?;
    let verb = match name {
        "replay" => LetterVerb::Replay,
        "renew" => LetterVerb::Renew,
        _ => LetterVerb::Discard,
    };
    Ok((words, verb))
}

/// Reads an act on runs. Those on a step take its position and its outcome from the fields `step` and `outcome`.
pub(crate) fn run_act(name: &str, params: &Params) -> Result<RunAct, OpsError> {
    let step = params.read::<u32>("step")?;
    let on_step = || -> Result<(u32, Outcome), OpsError> {
        let missing = OpsError::Invalid {
            what: "the step".to_owned(),
            reason: "it is missing".to_owned(),
        };
        Ok((step.ok_or(missing)?, outcome(params)?))
    };
    Ok(match name {
        "resume" => RunAct::Resume,
        "cancel" => RunAct::Cancel,
        "purge" => RunAct::Purge,
        "retry" => RunAct::Retry { step },
        "skip" => {
            let (step, outcome) = on_step()?;
            RunAct::Skip { step, outcome }
        }
        "report" => {
            let (step, outcome) = on_step()?;
            RunAct::Report { step, outcome }
        }
        other => return Err(unknown(other)),
    })
}

/// Reads an outcome: JSON of its form, or a text that is its message.
fn outcome(params: &Params) -> Result<Outcome, OpsError> {
    let text = params.get("outcome").unwrap_or_default().trim();
    match text.starts_with('{') {
        false => Ok(Outcome::text(text)),
        true => serde_json::from_str(text).map_err(|error| OpsError::Invalid {
            what: "the outcome".to_owned(),
            reason: format!("it is not JSON of its form: {error}"),
        }),
    }
}
