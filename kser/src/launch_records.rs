use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Event;
use kser_core::{Error, NotPublished, Record, Topic};

use crate::engine::run_ref::RunRef;
use crate::engine::stored::Stored;
use crate::publish::{is_refusal, log_published};
use crate::shared::Shared;

/// When an event that could not be published is tried again.
const TELL_AGAIN: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Tells the records that make a run begin from the events about it.
pub(crate) struct LaunchRecords {
    topic: Option<Topic>,
    asks: Vec<bool>,
}

impl LaunchRecords {
    pub(crate) fn of(shared: &Shared, records: &[Record]) -> Result<Self, Error> {
        let events = shared.writer.routes.events()?;
        // The messages for the status hook of a fork come before its step and its event.
        let hooks = records.len().saturating_sub(2);
        let asks = records.iter().enumerate();
        let asks = asks.map(|(index, record)| index >= hooks && record.topic != events);
        Ok(Self {
            topic: records.get(hooks).map(|record| record.topic.clone()),
            asks: asks.collect(),
        })
    }

    /// Says whether a run is launched: all records that make it begin are published. Its events do not matter. The error
    /// says that nothing was sent only if each of these records was certainly refused.
    pub(crate) fn launched(
        &self,
        published: Result<(), NotPublished>,
        run: &RunRef,
    ) -> Result<(), Error> {
        let launched = match published {
            Ok(()) => Ok(()),
            Err(not) => self.not_launched(not, run),
        };
        let uuid = run.id.clone().into();
        log_published(&launched, self.topic.as_ref(), &run.name, &uuid);
        launched
    }

    fn not_launched(&self, not: NotPublished, run: &RunRef) -> Result<(), Error> {
        let all = self.asks.iter().filter(|asks| **asks).count();
        let failed = not.failed.into_iter();
        let asking: Vec<Error> = failed
            .filter(|(index, _)| self.asks.get(*index) == Some(&true))
            .map(|(_, error)| error)
            .collect();
        let certain = asking.len() == all && asking.iter().all(is_refusal);
        match asking.into_iter().next() {
            None => Ok(()),
            Some(error) if certain => Err(error),
            Some(error) => Err(Error::MaybeSent {
                id: run.id.clone(),
                source: error.into(),
            }),
        }
    }

    /// Lists the events that are not published, if all records that make the run begin are.
    pub(crate) fn news(&self, not: &NotPublished) -> Vec<usize> {
        let failed = || not.failed.iter().map(|(index, _)| *index);
        let asks = |index: usize| self.asks.get(index) == Some(&true);
        match failed().any(asks) {
            true => Vec::new(),
            false => failed().collect(),
        }
    }
}

/// Publishes events of a run that is launched, for as long as a broker may be away. Its state is carried: no sweep does.
pub(crate) fn tell_later(shared: &Arc<Shared>, run: &RunRef, records: &[Record], news: Vec<usize>) {
    let events: Vec<Record> = news
        .into_iter()
        .filter_map(|index| records.get(index).cloned())
        .collect();
    if events.is_empty() {
        return;
    }
    let (shared, run) = (Arc::clone(shared), run.id.clone());
    tokio::spawn(async move {
        for wait in TELL_AGAIN {
            tracing::warn!(target: "kser", run = ?run, "publishing an event of a launch failed; retrying in {wait:?}");
            tokio::time::sleep(wait).await;
            match shared.publish(events.clone()).await {
                Ok(()) => return,
                Err(not) if not.failed.iter().all(|(_, error)| is_refusal(error)) => break,
                Err(_) => {}
            }
        }
        tracing::error!(target: "kser", run = ?run, "publishing an event of a launch failed; the run goes on, and observers do not see that it began");
    });
}

/// Publishes the first records of a run that was just kept. `kept_with` is the version of the run with which the store keeps the
/// records; `None` where it does not keep them.
pub(crate) async fn publish_first(
    stored: Stored<'_>,
    run: &RunRef,
    kept_with: Option<u64>,
    records: Vec<Record>,
) -> Result<(), Error> {
    let asks = LaunchRecords::of(stored.shared, &records)?;
    let published = match kept_with {
        Some(version) => stored.relay(&run.id, version, records).await,
        None => {
            let records = stored.to_local_clock(records);
            stored.shared.publish(records).await
        }
    };
    let launched = asks.launched(published, run);
    if let Err(error) = &launched
        && !matches!(error, Error::MaybeSent { .. })
    {
        take_back(stored, run).await;
    }
    launched
}

/// Cancels and purges a stored run of whose launch no record was sent, so that no sweep starts it later.
async fn take_back(stored: Stored<'_>, run: &RunRef) {
    let cancelled = stored.apply(run, |_| Event::Cancelled).await;
    let purged = match cancelled {
        Ok(_) => stored.store.purge(&run.id).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = purged {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(target: "kser", run = ?run.id, error, "taking back a refused launch failed; the run may begin");
    }
}
