//! The smallest transport: a list, a lock and a bell. It keeps the whole contract, as the suite of `kser-testkit` shows
//! (`cargo test -p kser-examples --example own_transport`), and operations run on it like on any other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kser::backend::{
    Delivery, Description, Interest, Leave, NotPublished, Origin, Record, Room, Settle, Settling,
    Subscription, Ticket, TopicSpec, Transport, async_trait,
};
use kser::client::{Clock, SystemClock};
use kser::consumer::Health;
use kser::message::Topic;
use kser::run::Timestamp;
use kser::task::Cancellation;
use kser::{Context, Entrypoint, Error, Json, Registry, Step};
use tokio::{sync::Notify, time::timeout};

const LARGEST: usize = 1_000_000;

#[derive(Debug, Clone, Default)]
struct ListTransport(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    bell: Notify,
    clock: SystemClock,
}

/// The records that are published and not settled: in order, once for each group.
#[derive(Debug, Default)]
struct List {
    items: Vec<Item>,
    groups: Vec<(Topic, String)>,
    count: u64,
}

/// A record for a group; for `""` while its topic has none. An observer is a group whose name begins with `#`.
#[derive(Debug, Clone)]
struct Item {
    group: String,
    record: Record,
    crash_count: u32,
    failed: u32,
    /// The member that has the record, its ticket, and whether it was begun.
    held: Option<(u64, u64, bool)>,
    /// Whether it was delivered before, so that its key waits for it.
    first: bool,
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut List) -> T) -> T {
        let done = change(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_waiters();
        done
    }
}

impl List {
    fn publish(&mut self, record: Record) {
        let groups = self
            .groups
            .iter()
            .filter(|(topic, _)| *topic == record.topic);
        let mut groups: Vec<_> = groups.map(|(_, group)| group.clone()).collect();
        if groups.iter().all(|group| group.starts_with('#')) {
            groups.push(String::new());
        }
        let item = |group| Item {
            group,
            record: record.clone(),
            crash_count: 0,
            failed: 0,
            held: None,
            first: false,
        };
        self.items.extend(groups.into_iter().map(item));
    }

    /// The first record that a member may have: due, not held, and no other of its key before it.
    fn take(&mut self, member: &Member, now: Timestamp) -> Option<Item> {
        let due = |item: &Item| item.record.not_before.is_none_or(|due| due <= now);
        let before = |a: &Item, b: &Item| {
            let same = (&a.group, &a.record.topic, &a.record.key);
            same == (&b.group, &b.record.topic, &b.record.key) && (due(a) || a.first)
        };
        let free = |index: &usize| {
            let item = &self.items[*index];
            let ours = item.group == member.group && member.topics.contains(&item.record.topic);
            let alone = item.record.key.is_none() || item.group.starts_with('#');
            let first = || !self.items[..*index].iter().any(|other| before(other, item));
            ours && item.held.is_none() && due(item) && (alone || first())
        };
        let index = (0..self.items.len()).find(free)?;
        self.count += 1;
        self.items[index].held = Some((member.number, self.count, false));
        self.items[index].first = true;
        self.items.get(index).cloned()
    }

    fn held(&mut self, ticket: u128) -> Option<usize> {
        let held = |item: &Item| {
            item.held
                .is_some_and(|(_, held, _)| u128::from(held) == ticket)
        };
        self.items.iter().position(held)
    }
}

#[async_trait]
impl Transport for ListTransport {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let mut failed = Vec::new();
        self.0.with(|list| {
            for (index, record) in records.into_iter().enumerate() {
                match fits(&record) {
                    Ok(()) => list.publish(record),
                    Err(error) => failed.push((index, error)),
                }
            }
        });
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        interest.must_start_now()?;
        let (shared, topics) = (Arc::clone(&self.0), interest.topics);
        Ok(Box::new(shared.with(|list| {
            list.count += 1;
            let number = list.count;
            let group = interest.group.unwrap_or_else(|| format!("#{number}"));
            list.groups
                .extend(topics.iter().map(|topic| (topic.clone(), group.clone())));
            list.groups.dedup();
            let early =
                |item: &&mut Item| item.group.is_empty() && topics.contains(&item.record.topic);
            for item in list
                .items
                .iter_mut()
                .filter(early)
                .filter(|_| !group.starts_with('#'))
            {
                item.group.clone_from(&group);
            }
            let (shared, revoked) = (Arc::clone(&shared), Cancellation::default());
            Member {
                shared,
                topics,
                group,
                number,
                revoked,
            }
        })))
    }

    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), Error> {
        Ok(())
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        Ok(Description::new(Settling::Together, LARGEST).forgetting())
    }
}

fn fits(record: &Record) -> Result<(), Error> {
    let (what, size, limit) = ("bytes of the record", record.size(), LARGEST);
    match size > limit {
        true => Err(Error::TooLarge {
            what: what.into(),
            size,
            limit,
        }),
        false => Ok(()),
    }
}

#[derive(Debug)]
struct Member {
    shared: Arc<Shared>,
    topics: Vec<Topic>,
    group: String,
    number: u64,
    revoked: Cancellation,
}

impl Member {
    fn take(&self, room: Room) -> Vec<Delivery> {
        let now = self.shared.clock.now();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut list = self
            .shared
            .list
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while taken.len() < room.records && bytes < room.bytes {
            let Some(item) = list.take(self, now) else {
                break;
            };
            bytes += item.record.size();
            let settle: Arc<dyn Settle> = Arc::<Shared>::clone(&self.shared);
            let ticket = Ticket::new(list.count.into(), settle);
            let delivery = Delivery::new(item.record, Origin::default(), ticket);
            let delivery = delivery.with_crash_count(item.crash_count);
            let delivery = delivery.with_failed(item.failed);
            taken.push(delivery.with_revoked(self.revoked.clone()));
        }
        taken
    }

    fn holds(&self, item: &Item) -> bool {
        item.held
            .is_some_and(|(member, _, _)| member == self.number)
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        loop {
            let taken = self.take(room);
            if !taken.is_empty() {
                return Ok(taken);
            }
            // The bell may ring just before this listens, and a record that becomes due rings none.
            let _ = timeout(Duration::from_millis(10), self.shared.bell.notified()).await;
        }
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        None
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        while self
            .shared
            .with(|list| list.items.iter().any(|item| self.holds(item)))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.revoked.cancel();
        self.shared.with(|list| {
            for item in list.items.iter_mut().filter(|item| self.holds(item)) {
                let begun = item.held.take().is_some_and(|(_, _, begun)| begun);
                item.crash_count += u32::from(begun || item.crash_count < 2);
            }
            list.groups
                .retain(|(_, group)| *group != format!("#{}", self.number));
        });
    }
}

#[async_trait]
impl Settle for Shared {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        outputs.iter().try_for_each(fits)?;
        self.with(|list| {
            let index = list.held(ticket).ok_or(Error::Lost)?;
            list.items.remove(index);
            outputs
                .iter()
                .for_each(|record| list.publish(record.clone()));
            Ok(())
        })
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        self.with(|list| {
            let index = list.held(ticket).ok_or(Error::Lost)?;
            list.items[index]
                .held
                .iter_mut()
                .for_each(|held| held.2 = true);
            Ok(())
        })
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        self.with(|list| {
            if let Some(index) = list.held(ticket) {
                list.items[index].held = None;
                list.items[index].record.not_before = not_before;
                list.items[index].failed = failed;
            }
        });
    }
}

#[derive(Clone, serde::Serialize, serde::Deserialize, Entrypoint)]
#[entrypoint("sums.Double")]
struct Double {
    n: i64,
}

async fn double(ctx: Context, double: Double) -> Json<Double> {
    let before = ctx.previous_as().unwrap_or(double);
    Json(Double { n: 2 * before.n })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let kser = kser::Client::builder(ListTransport::default())
        .build()
        .await?;
    let consumer = kser.consumer(Registry::new().task(double).build()?).spawn();
    let steps = vec![Step::new(Double { n: 1 }); 5];
    let run = kser.producer().launch_steps("sums.Doubles", steps).await?;
    println!("{}", run.result().await?.data_as::<Double>()?.n);
    consumer.stop().await
}

#[cfg(test)]
mod conformance {
    use kser_testkit::TransportHarness;

    kser_testkit::transport_suite!(paused, async {
        TransportHarness::new(super::ListTransport::default())
    });
}
