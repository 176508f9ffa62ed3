//! The steps still to come, as a message carries them. A consumer reads only the first of them.

use std::time::Duration;

use super::{External, PlannedStep, StepKey};
use crate::json::decode_error::DecodeError;
use crate::json::members::Members;
use crate::json::scan::Scanner;
use crate::json::text::write_string;
use crate::outcome::{id, object};
use crate::{Error, Metadata, Object, Outcome, Raw, RunId, TaskId, Topic};

/// An external step of a carried run, as kser sent it: the data that a store would keep until its report comes.
///
/// It is in [`Envelope::sent`](crate::Envelope::sent) of the message of the step, which comes back with the report.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "what the report of a step needs, and no more"
)]
pub struct SentStep {
    /// The step, with its limit and its attempts.
    pub step: PlannedStep,
    /// The outcome that was forwarded to it.
    pub given: Outcome,
    /// The metadata of the run's user.
    pub metadata: Metadata,
}

impl SentStep {
    /// Encodes the step as JSON. Leaves out fields that have their defaults, and those that follow from the run's id.
    #[must_use]
    pub fn encode(&self, run: &RunId) -> Raw {
        let mut out = String::new();
        write(run, &self.step, &mut out);
        // In front of the closing brace: a step has an entrypoint at least.
        out.pop();
        out.push_str(",\"result\":");
        self.given.write(&mut out, self.step.key.uuid.as_str());
        out.push_str(",\"metadata\":");
        self.metadata.write(&mut out);
        out.push('}');
        Raw::of_scanned(&out)
    }

    /// Decodes the step at `position` of a run.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] when [`encode`](Self::encode) cannot have written the text.
    pub fn decode(sent: &Raw, run: &RunId, position: u32) -> Result<Self, Error> {
        let text = sent.as_str();
        let read = || {
            let step = read(text, 0, run, position)?;
            let (mut given, mut metadata) = (Outcome::default(), Metadata::default());
            Members::of(Scanner::new(text))?.read_each(|key, scanner| {
                match key.name {
                    "result" => given = Outcome::read(scanner, Some(&step.key.uuid))?,
                    "metadata" => metadata = Metadata::read(scanner)?,
                    _ => {
                        scanner.value()?;
                    }
                }
                Ok(())
            })?;
            Ok(Self {
                step,
                given,
                metadata,
            })
        };
        read().map_err(|error: DecodeError| Error::InvalidStep {
            position,
            reason: error.to_string(),
        })
    }
}

/// Encodes consecutive steps. Fields that have their defaults, and those that follow from the id of the run, are left out.
#[must_use]
pub fn encode(run: &RunId, steps: &[PlannedStep]) -> Raw {
    let mut out = String::from('[');
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(run, step, &mut out);
    }
    out.push(']');
    Raw::of_scanned(&out)
}

/// Decodes the first step, which is at `position`, and returns the others as they came.
///
/// # Errors
///
/// [`Error::InvalidStep`] when the first step is not valid. The others are not read.
pub fn split(plan: &Raw, run: &RunId, position: u32) -> Result<(PlannedStep, Option<Raw>), Error> {
    let invalid = |error: DecodeError| Error::InvalidStep {
        position,
        reason: error.to_string(),
    };
    let text = plan.as_str();
    let mut scanner = Scanner::new(text);
    scanner.expect(b'[').map_err(invalid)?;
    let at = scanner.at();
    let first = scanner.value().map_err(invalid)?;
    let step = read(first, at, run, position).map_err(invalid)?;
    let rest = scanner.take(b',').then(|| {
        let rest = text[scanner.at()..].trim_start();
        let mut others = String::with_capacity(rest.len() + 1);
        others.push('[');
        others.push_str(rest);
        Raw::of_scanned(&others)
    });
    Ok((step, rest))
}

fn write(run: &RunId, step: &PlannedStep, out: &mut String) {
    let key = &step.key;
    out.push_str("{\"entrypoint\":");
    write_string(key.entrypoint.as_str(), out);
    if key.uuid != run.step(key.position) {
        out.push_str(",\"uuid\":");
        write_string(key.uuid.as_str(), out);
    }
    if !step.params.is_empty() {
        out.push_str(",\"params\":");
        out.push_str(step.params.as_str());
    }
    let texts = [
        (",\"topic\":", step.topic.as_ref().map(Topic::as_str)),
        (",\"key\":", step.record_key.as_deref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            out.push_str(name);
            write_string(text, out);
        }
    }
    if let Some(external) = step.external {
        let limit = u64::try_from(external.limit.as_millis()).unwrap_or(u64::MAX);
        out.push_str(&format!(",\"limit_ms\":{limit}"));
        if external.attempts != 1 {
            out.push_str(&format!(",\"attempts\":{}", external.attempts));
        }
    }
    out.push('}');
}

fn read(text: &str, at: usize, run: &RunId, position: u32) -> Result<PlannedStep, DecodeError> {
    let members = Members::of(Scanner::new(text))?;
    let (mut entrypoint, mut uuid, mut params) = (None, None, Object::default());
    let (mut topic, mut record_key, mut limit, mut attempts) = (None, None, None, 1);
    members.read_values(|key, offset, value| {
        let place = at + offset;
        match key.name {
            "entrypoint" => entrypoint = Some((&*id(value, place, "entrypoint")?).into()),
            "uuid" => uuid = Some(TaskId::from(&*id(value, place, "uuid")?)),
            "params" => params = object(value, place, "params")?,
            "topic" => {
                let name = Topic::new(id(value, place, "topic")?);
                topic = Some(name.map_err(|error| DecodeError::new(place, error.to_string()))?);
            }
            "key" => record_key = Some(id(value, place, "key")?.into_owned()),
            "limit_ms" => limit = Some(number::<u64>(value, place, "limit_ms")?),
            "attempts" => attempts = number(value, place, "attempts")?,
            _ => {}
        }
        Ok(())
    })?;
    let entrypoint =
        entrypoint.ok_or_else(|| DecodeError::new(at, "the step has no entrypoint"))?;
    Ok(PlannedStep {
        key: StepKey {
            position,
            uuid: uuid.unwrap_or_else(|| run.step(position)),
            entrypoint,
        },
        params,
        topic,
        record_key,
        external: limit.map(|limit| External {
            limit: Duration::from_millis(limit),
            attempts,
        }),
    })
}

fn number<T: std::str::FromStr>(value: &str, at: usize, name: &str) -> Result<T, DecodeError> {
    let wrong = || DecodeError::new(at, format!("{name}: not a whole number that fits"));
    value.parse().map_err(|_| wrong())
}
