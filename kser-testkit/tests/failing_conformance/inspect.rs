//! A view of a transport with the transport's flaw.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kser_core::{
    Error, GroupProgress, Inspect, Interest, RecordPlace, Room, Subscription, Topic, Transport,
    UnsettledQuery, UnsettledRecord, UnsettledView,
};

use crate::transport::{Broken, Flaw};

pub(crate) struct BrokenInspect {
    broken: Arc<Broken>,
    inner: Arc<dyn Inspect>,
    /// The members that hold what they have seen.
    joined: Mutex<Vec<Box<dyn Subscription>>>,
}

impl std::fmt::Debug for BrokenInspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokenInspect").finish_non_exhaustive()
    }
}

impl BrokenInspect {
    pub(crate) fn of(broken: &Arc<Broken>) -> Option<Arc<dyn Inspect>> {
        Some(Arc::new(Self {
            broken: Arc::clone(broken),
            inner: broken.inner.inspect()?,
            joined: Mutex::default(),
        }))
    }

    async fn join(&self, query: &UnsettledQuery) -> Result<(), Error> {
        let interest = Interest::group(query.group.clone(), vec![query.topic.clone()]);
        let mut member = self.broken.inner.subscribe(interest).await?;
        let received = member.receive(Room::records(1));
        let held = tokio::time::timeout(std::time::Duration::ZERO, received).await;
        std::mem::forget(held);
        self.joined.lock().unwrap().push(member);
        Ok(())
    }
}

#[async_trait]
impl Inspect for BrokenInspect {
    async fn topics(&self) -> Result<Vec<Topic>, Error> {
        self.inner.topics().await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        match self.broken.flaw {
            Flaw::ListsNoGroups => Ok(Vec::new()),
            _ => self.inner.groups().await,
        }
    }

    async fn progress(&self, group: &str, topic: &Topic) -> Result<Vec<GroupProgress>, Error> {
        let mut progress = self.inner.progress(group, topic).await?;
        if self.broken.flaw == Flaw::CountsTheLog {
            for of in &mut progress {
                of.unsettled = of.end.unsigned_abs();
            }
        }
        Ok(progress)
    }

    async fn unsettled(&self, mut query: UnsettledQuery) -> Result<Box<dyn UnsettledView>, Error> {
        match self.broken.flaw {
            Flaw::LooksByJoining => self.join(&query).await?,
            Flaw::ViewsStartOver => query.after = None,
            Flaw::ShowsJoinedGroupsOnly if !self.inner.groups().await?.contains(&query.group) => {
                query.after = Some(RecordPlace {
                    partition: i32::MAX,
                    offset: 0,
                });
            }
            _ => {}
        }
        Ok(Box::new(BrokenView {
            inner: self.inner.unsettled(query).await?,
            flaw: self.broken.flaw,
        }))
    }
}

#[derive(Debug)]
struct BrokenView {
    inner: Box<dyn UnsettledView>,
    flaw: Flaw,
}

#[async_trait]
impl UnsettledView for BrokenView {
    async fn next(&mut self, room: Room) -> Result<Vec<UnsettledRecord>, Error> {
        let mut page = self.inner.next(room).await?;
        if self.flaw == Flaw::ShowsNoHeaders {
            for shown in &mut page {
                shown.record.headers.clear();
            }
        }
        Ok(page)
    }
}
