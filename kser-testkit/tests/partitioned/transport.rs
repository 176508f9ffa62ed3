//! Topics of parts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kser_core::{
    Clock, Description, Error, Interest, NotPublished, Record, Settling, Subscription, Timestamp,
    Topic, TopicSpec, Transport,
};
use kser_memory::MemoryClock;

use crate::group::Group;
use crate::member::Member;

const LARGEST: usize = 100_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Parts(Arc<Mutex<Broker>>);

#[derive(Debug, Default)]
pub(crate) struct Broker {
    pub(crate) logs: BTreeMap<Topic, Vec<Vec<Record>>>,
    pub(crate) groups: BTreeMap<String, Group>,
    delayed: Vec<Record>,
    pub(crate) count: u64,
}

impl Broker {
    pub(crate) fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    pub(crate) fn now() -> Timestamp {
        MemoryClock::new().now()
    }

    pub(crate) fn publish(&mut self, record: Record) -> Result<(), Error> {
        let (what, size, limit) = ("bytes of the record", record.size(), LARGEST);
        if size > limit {
            let what = what.into();
            return Err(Error::TooLarge { what, size, limit });
        }
        match record.not_before.is_some_and(|due| due > Self::now()) {
            true => self.delayed.push(record),
            false => self.append(record),
        }
        Ok(())
    }

    fn append(&mut self, record: Record) {
        let number = self.number();
        let log = self.logs.entry(record.topic.clone());
        let parts = log.or_insert_with(|| vec![Vec::new()]);
        let hash = match &record.key {
            Some(key) => key.iter().map(|byte| u64::from(*byte)).sum(),
            None => number,
        };
        let index = usize::try_from(hash).unwrap() % parts.len();
        parts[index].push(record);
    }

    /// What happens as time goes by. The clock of the delays ticks in seconds.
    pub(crate) fn tick(&mut self) {
        let now = Timestamp::from_millis(Self::now().as_millis() / 1000 * 1000);
        let due = |record: &mut Record| record.not_before.is_none_or(|due| due <= now);
        let due: Vec<Record> = self.delayed.extract_if(.., due).collect();
        due.into_iter().for_each(|record| self.append(record));
        self.groups.values_mut().for_each(Group::expire);
    }
}

#[async_trait]
impl Transport for Parts {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let mut broker = self.0.lock().unwrap();
        let published = records.into_iter().map(|record| broker.publish(record));
        let failed = published.enumerate();
        let failed = failed.filter_map(|(index, done)| Some((index, done.err()?)));
        let failed: Vec<_> = failed.collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        interest.must_start_now()?;
        let member = Member::join(Arc::clone(&self.0), interest);
        Ok(Box::new(member))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let mut broker = self.0.lock().unwrap();
        for spec in topics {
            let count = usize::try_from(spec.partitions.unwrap_or(1)).unwrap();
            let log = broker.logs.entry(spec.topic.clone());
            log.or_insert_with(|| vec![Vec::new(); count]);
        }
        Ok(())
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        Ok(Description::new(Settling::InOrder, LARGEST))
    }
}
