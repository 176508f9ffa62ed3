use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kser::Error;
use kser::backend::{Inspect, Record, RecordPlace, Room, UnsettledQuery, UnsettledView};
use kser::message::Topic;
use kser::run::{RunId, Timestamp};

use crate::causes::{CauseCounter, Causes};
use crate::error::OpsError;
use crate::fingerprint::CausePrefix;
use crate::letter::{DEAD_LETTERS, Letter, LetterAddress};
use crate::ops::{Ops, limited};

/// The letters that are read at once, and their bytes: the bound of the memory for a view.
const PAGE: Room = Room::new(1000, 4 * 1024 * 1024);

/// A filter for dead letters. The default takes all.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LetterFilter {
    /// The cause; `None` for any.
    pub cause: Option<CausePrefix>,
    /// The run; `None` for any.
    pub run: Option<RunId>,
    /// The time since which the letters failed; `None` for any.
    pub since: Option<Timestamp>,
    /// The places; empty for any.
    pub addresses: Vec<LetterAddress>,
    /// The most replays that the letters have had before; `None` for any number.
    pub max_replays: Option<u64>,
}

impl LetterFilter {
    /// Says whether the filter takes a letter.
    #[must_use]
    pub fn takes(&self, letter: &Letter) -> bool {
        let Self {
            cause,
            run,
            since,
            addresses,
            max_replays,
        } = self;
        cause.as_ref().is_none_or(|cause| cause.is_of(letter.cause))
            && run
                .as_ref()
                .is_none_or(|run| letter.run.as_ref() == Some(run))
            && since.is_none_or(|since| letter.failed().is_some_and(|failed| failed >= since))
            && (addresses.is_empty() || addresses.contains(&letter.address))
            && max_replays.is_none_or(|most| letter.replays <= most)
    }
}

/// Reads dead letters, topic by topic, by partition and offset. Those that were written after it was opened are not in it.
pub struct LetterView {
    inspect: Arc<dyn Inspect>,
    /// The topics to come, with their groups.
    topics: VecDeque<(Topic, String)>,
    view: Option<Box<dyn UnsettledView>>,
    filter: LetterFilter,
    read: u64,
    /// The time for a page.
    limit: Option<Duration>,
}

impl Ops {
    /// Lists the topics of dead letters, by name: all, or the one of a topic, which is given without the prefix.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when there is no such topic, [`OpsError::Needs`] without Kafka.
    pub async fn letter_topics(&self, topic: Option<&str>) -> Result<Vec<Topic>, OpsError> {
        let inspect = self.inspect("looking at dead letters")?;
        let prefix = self.client.routes().prefix();
        let found = inspect.topics().await?.into_iter().filter(|found| {
            let name = found.as_str();
            name.starts_with(prefix) && name.ends_with(DEAD_LETTERS)
        });
        let Some(topic) = topic else {
            return Ok(found.collect());
        };
        let name = letters_of(prefix, topic)?;
        let found: Vec<_> = found.filter(|found| *found == name).collect();
        match found.is_empty() {
            true => Err(OpsError::NotFound {
                what: format!(
                    "there is no topic {name}, where the dead letters of {topic} would be"
                ),
            }),
            false => Ok(found),
        }
    }

    /// Opens a view of dead letters, of all topics or of one.
    ///
    /// # Errors
    ///
    /// As [`letter_topics`](Self::letter_topics).
    pub async fn letters(
        &self,
        topic: Option<&str>,
        filter: LetterFilter,
    ) -> Result<LetterView, OpsError> {
        let topics = self.within_limit(self.letter_topics(topic)).await?;
        let routes = self.client.routes();
        let with_group = |topic: Topic| {
            let group = routes.group(&topic);
            (topic, group)
        };
        Ok(LetterView {
            inspect: self.inspect("looking at dead letters")?,
            topics: topics.into_iter().map(with_group).collect(),
            view: None,
            filter,
            read: 0,
            limit: self.limit,
        })
    }

    /// Groups the dead letters that the filter takes by their causes. All letters of the topics are read, with a bounded memory.
    ///
    /// # Errors
    ///
    /// As [`letters`](Self::letters).
    pub async fn letter_causes(
        &self,
        topic: Option<&str>,
        filter: LetterFilter,
    ) -> Result<Causes, OpsError> {
        let mut view = self.letters(topic, filter).await?;
        let mut counter = CauseCounter::default();
        while let Some(page) = view.next_page().await? {
            page.iter().for_each(|letter| counter.count(letter));
        }
        Ok(counter.causes())
    }

    /// Reads one dead letter, with its record.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when there is none at the address, or it is replayed or discarded.
    pub async fn letter(&self, address: &LetterAddress) -> Result<(Letter, Record), OpsError> {
        let inspect = self.inspect("looking at a dead letter")?;
        let not_found = || OpsError::NotFound {
            what: format!("there is no dead letter at {address}, or it is replayed or discarded"),
        };
        let RecordPlace { partition, offset } = address.place();
        let topic = address.topic().clone();
        let group = self.client.routes().group(&topic);
        let before = RecordPlace {
            partition,
            offset: offset.saturating_sub(1),
        };
        let query = UnsettledQuery::new(group, topic).after(before);
        let view = inspect.unsettled(query).await;
        let mut view = view.map_err(|error| match error {
            Error::MissingTopic { .. } => not_found(),
            other => other.into(),
        })?;
        let shown = view.next(Room::records(1)).await?.pop();
        let shown = shown.filter(|shown| shown.place == address.place());
        let shown = shown.ok_or_else(not_found)?;
        Ok((Letter::read(&shown), shown.record))
    }
}

/// Returns the topic of the dead letters of a topic.
fn letters_of(prefix: &str, topic: &str) -> Result<Topic, OpsError> {
    let plain = topic.strip_suffix(DEAD_LETTERS).unwrap_or(topic);
    let name = match plain.starts_with(prefix) {
        true => format!("{plain}{DEAD_LETTERS}"),
        false => format!("{prefix}{plain}{DEAD_LETTERS}"),
    };
    Ok(Topic::new(name).map_err(Error::from)?)
}

impl LetterView {
    /// Goes on behind the letter at a place: its topic and those that follow by name are left.
    pub(crate) async fn begin_after(&mut self, after: &LetterAddress) -> Result<(), OpsError> {
        self.topics.retain(|(topic, _)| topic >= after.topic());
        if let Some((topic, _)) = self.topics.front()
            && topic == after.topic()
            && let Some((topic, group)) = self.topics.pop_front()
        {
            let query = UnsettledQuery::new(group, topic).after(after.place());
            self.view = Some(self.inspect.unsettled(query).await?);
        }
        Ok(())
    }

    /// Returns the next letters that the filter takes, which may be none; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`OpsError::Kser`] when the backend does not answer. The view has ended then.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Letter>>, OpsError> {
        let page = self.next_records().await?;
        Ok(page.map(|page| page.into_iter().map(|(letter, _)| letter).collect()))
    }

    /// Returns the next letters with their records, as [`next_page`](Self::next_page) does.
    pub(crate) async fn next_records(&mut self) -> Result<Option<Vec<(Letter, Record)>>, OpsError> {
        loop {
            let Some(view) = &mut self.view else {
                let Some((topic, group)) = self.topics.pop_front() else {
                    return Ok(None);
                };
                let query = UnsettledQuery::new(group, topic);
                let view = async { Ok(self.inspect.unsettled(query).await?) };
                self.view = Some(limited(self.limit, view).await?);
                continue;
            };
            let page = async { Ok(view.next(PAGE).await?) };
            let shown = limited(self.limit, page).await?;
            if shown.is_empty() {
                self.view = None;
                continue;
            }
            self.read += u64::try_from(shown.len()).unwrap_or(u64::MAX);
            let letters = shown
                .into_iter()
                .map(|shown| (Letter::read(&shown), shown.record));
            let taken = letters.filter(|(letter, _)| self.filter.takes(letter));
            return Ok(Some(taken.collect()));
        }
    }

    /// Counts the letters that were read, also those that the filter left out.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }
}

impl fmt::Debug for LetterView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LetterView")
            .field("topics", &self.topics)
            .field("read", &self.read)
            .finish_non_exhaustive()
    }
}
