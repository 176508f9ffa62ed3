use std::fmt;
use std::str::FromStr;

use kser::run::{RunFilter, RunId};
use kser_ops::{ConsumerLine, Ops, OpsError, Summary, TopicLine};
use percent_encoding::percent_decode_str;

use crate::acts::jobs::Jobs;
use crate::links::part;

/// The newest runs that are looked at for a change of a list.
const RUNS: usize = 50;

/// The waits that are looked at for a change.
const WAITS: usize = 100;

/// A part of the installation whose changes a page shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Overview,
    Runs,
    Letters,
    Consumers,
    Waiting,
    Run(RunId),
    Act(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overview => f.write_str("overview"),
            Self::Runs => f.write_str("runs"),
            Self::Letters => f.write_str("letters"),
            Self::Consumers => f.write_str("consumers"),
            Self::Waiting => f.write_str("waiting"),
            Self::Run(id) => write!(f, "run:{}", part(id.as_str())),
            Self::Act(id) => write!(f, "act:{}", part(id)),
        }
    }
}

/// Reads a subject as it displays.
impl FromStr for Subject {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(drop)
        };
        Ok(match text.split_once(':') {
            None => match text {
                "overview" => Self::Overview,
                "runs" => Self::Runs,
                "letters" => Self::Letters,
                "consumers" => Self::Consumers,
                "waiting" => Self::Waiting,
                _ => return Err(()),
            },
            Some(("run", id)) => Self::Run(decoded(id)?.into()),
            Some(("act", id)) => Self::Act(decoded(id)?),
            _ => return Err(()),
        })
    }
}

impl Subject {
    /// Says whether the subject is looked at in each turn. Others cost more, and are looked at in every second turn.
    pub(crate) const fn is_quick(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Act(_))
    }

    /// Returns a text that differs when the subject has changed.
    pub(crate) async fn state(&self, ops: &Ops, jobs: &Jobs) -> Result<String, OpsError> {
        Ok(match self {
            Self::Run(id) => run(ops, id).await?,
            Self::Act(id) => {
                let shown = jobs.find(id)?.shown();
                format!("{shown:?}")
            }
            Self::Overview => overview(&ops.status().await?),
            Self::Letters => topics(&ops.topics().await?),
            Self::Consumers => consumers(ops).await?,
            Self::Runs => {
                let filter = RunFilter::default().with_limit(RUNS);
                let newest = ops.runs(&filter).await?.runs;
                let newest = newest
                    .iter()
                    .map(|run| (&run.id, run.status, run.position, run.changed));
                format!("{:?}", newest.collect::<Vec<_>>())
            }
            Self::Waiting => {
                let waiting = ops.waiting(WAITS, WAITS).await?;
                let waits = waiting
                    .waits
                    .iter()
                    .map(|wait| (wait.kind, &wait.run, wait.step, wait.attempts));
                format!("{} {:?}", waiting.found, waits.collect::<Vec<_>>())
            }
        })
    }
}

async fn run(ops: &Ops, id: &RunId) -> Result<String, OpsError> {
    let facts = ops.facts(id).await?;
    let running = facts
        .consumers
        .iter()
        .flatten()
        .flat_map(|consumer| &consumer.presence.running);
    let mut ours = running.filter(|task| task.run.as_ref() == Some(id));
    let progress = ours.next().map(|task| (task.attempt, &task.progress));
    let lease = facts.lease.as_ref().map(|(owner, _)| owner);
    Ok(format!(
        "{} {} {} {} {lease:?} {progress:?}",
        facts.status, facts.position, facts.attempts, facts.updated
    ))
}

/// Counts the records of topics: their ages change always.
fn topics(lines: &[TopicLine]) -> String {
    let counts = lines.iter().map(|line| {
        let waiting =
            |backlog: Option<&kser_ops::Backlog>| backlog.map(|it| (it.waiting, it.settled_beyond));
        (
            &line.topic,
            waiting(line.work.as_ref()),
            waiting(line.letters.as_ref()),
        )
    });
    format!("{:?}", counts.collect::<Vec<_>>())
}

fn overview(summary: &Summary) -> String {
    let kinds: Vec<_> = summary.needs.iter().map(|need| need.kind).collect();
    let topics = topics(summary.topics.as_deref().unwrap_or_default());
    format!("{:?} {kinds:?} {topics}", summary.runs)
}

async fn consumers(ops: &Ops) -> Result<String, OpsError> {
    let found = ops.consumers().await?;
    let found: Vec<_> = found.iter().map(ConsumerLine::new).collect();
    let states = found
        .iter()
        .map(|it| (&it.id, it.state, it.lag, it.held, it.running.len()));
    Ok(format!("{:?}", states.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_displays() {
        for subject in [
            Subject::Overview,
            Subject::Waiting,
            Subject::Run("a b/\u{fc}:c".into()),
            Subject::Act("7".to_owned()),
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
        for wrong in ["", "moon", "moon:7", "run:%FF"] {
            assert_eq!(wrong.parse::<Subject>(), Err(()), "{wrong}");
        }
    }
}
