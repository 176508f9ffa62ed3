use std::collections::BTreeMap;
use std::sync::Arc;

use kser_core::log::report;
use kser_core::sequencing::Owner;
use kser_core::{Cancellation, Error, Instance, Interest, Mode, Settling, Subscription, Topic};
use tokio::task::JoinSet;

use super::active::ActiveSet;
use super::announcer::Announcer;
use super::dispatcher::Dispatcher;
use super::exclusive::Exclusive;
use super::graceful_leave::GracefulLeave;
use super::options::{LAST_CALL, Options, leave_timeout};
use super::parked::Parked;
use super::pending_topic::PendingTopic;
use super::places::Places;
use super::processor::Processor;
use super::queues::Queues;
use super::remote_control::RemoteControl;
use super::signals::Watch;
use super::state_guard::{StateGuard, topics};
use super::step::lease::{Leases, Terms};
use super::step::renewals::Renewals;
use super::sweeper::sweep;
use super::{Consumer, ConsumerHandle};
use crate::routes::Routes;
use crate::shared::Shared;

/// Runs a consumer from its start to its end, which the log, its handle and the waiters of its client are told of.
pub(super) async fn serve(consumer: Consumer) -> Result<(), Error> {
    let mut life = StateGuard::start(&consumer);
    let served = receive(consumer, &mut life).await;
    life.end(&served);
    served
}

async fn receive(consumer: Consumer, life: &mut StateGuard) -> Result<(), Error> {
    let handle = consumer.handle();
    let read = topics(&consumer).unwrap_or_default();
    let watch = match consumer.options.signals {
        true => Some(Watch::start(handle.clone(), consumer.options.deadline)?),
        false => None,
    };
    let stop = handle.stopping().clone();
    let begun = tokio::select! {
        biased;
        // A backend that is silent does not hold a stop. Nothing was received yet.
        () = stop.cancelled() => None,
        begun = begin(consumer) => Some(begun?),
    };
    let Some((processor, mut subscriptions)) = begun else {
        if let Some(watch) = watch {
            watch.ended(true);
        }
        return Ok(());
    };
    life.receives(processor.options.instance.as_ref());
    say_what_is_promised(&processor.shared);
    let leavers = subscriptions.iter();
    let leavers = leavers.filter_map(|member| member.leaver()).collect();
    let attempts = processor.attempts.clone();
    let graceful_leave = GracefulLeave::new(Arc::clone(&processor.shared), attempts, leavers);
    handle.set_graceful_leave(Some(graceful_leave));
    let options = processor.options.clone();
    // Ended when they are dropped: after the last attempt has ended.
    let _renewals = Renewals::start(&processor);
    let started = processor.shared.clock.wall();
    let _control = RemoteControl::start(&processor, &handle, &read, started).await;
    let announcer = Announcer::start(&processor, &handle, read, started);
    let mut dispatcher = Dispatcher::new(Arc::clone(&processor));
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        error = dispatcher.work(&mut subscriptions, &handle) => Err(error),
        error = superseded(&processor) => Err(error),
        () = sweep(&processor.shared, &options, &processor.queues) => Ok(()),
    };
    stop.cancel();
    let graceful = end(dispatcher, &processor, subscriptions, &handle).await;
    announcer.end().await;
    if let Some(watch) = watch {
        watch.ended(graceful);
    }
    ended
}

async fn begin(consumer: Consumer) -> Result<(Arc<Processor>, Vec<Box<dyn Subscription>>), Error> {
    let topics = topics(&consumer)?;
    let Consumer {
        shared,
        registry,
        options,
        layers,
        handle,
        observer,
    } = consumer;
    shared.ready().await?;
    let owner = owner(&shared, &options).await?;
    let queues = Queues::new(topics.iter().cloned());
    let subscriptions = subscribe(&shared, &options, topics).await?;
    let superseded = Cancellation::default();
    let processor = Processor {
        places: Places::new(options.concurrency),
        places_of: options
            .concurrency_of
            .iter()
            .map(|(name, places)| (name.clone(), Places::new(*places)))
            .collect(),
        exclusive: Exclusive::new(),
        parked: Arc::default(),
        crowded: Parked::default(),
        stop: handle.stopping().clone(),
        paused: handle.paused().clone(),
        running: handle.tasks().clone(),
        unsettled: ActiveSet::default(),
        attempts: ActiveSet::default(),
        cancel: Cancellation::default(),
        kill: Cancellation::default(),
        leases: Leases::new(Terms {
            shared: Arc::clone(&shared),
            owner: owner.clone(),
            superseded: superseded.clone(),
            length: options.lease,
        }),
        superseded,
        queues,
        shared,
        registry,
        layers,
        options,
        owner,
        observer,
    };
    Ok((Arc::new(processor), subscriptions))
}

/// Subscribes once for each group, to all of its topics: two subscriptions of one group would fence each other if the
/// consumer is an instance. A group whose topics are all missing is awaited, unless all groups are.
async fn subscribe(
    shared: &Shared,
    options: &Options,
    topics: Vec<Topic>,
) -> Result<Vec<Box<dyn Subscription>>, Error> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (group, topics) in by_group(&shared.writer.routes, topics) {
        let instance = options.instance.as_ref().map(ToString::to_string);
        let interest = Interest::group(group, topics).with_instance(instance);
        match shared.transport.subscribe(interest.clone()).await {
            Ok(subscription) => found.push(subscription),
            Err(error @ Error::MissingTopic { .. }) => missing.push((interest, error)),
            Err(error) => return Err(error),
        }
    }
    if found.is_empty() && !missing.is_empty() {
        return Err(missing.swap_remove(0).1);
    }
    for (interest, error) in missing {
        tracing::warn!(target: "kser", "{error}; it is read once it is there");
        let awaited = PendingTopic::new(Arc::clone(&shared.transport), interest);
        found.push(Box::new(awaited));
    }
    Ok(found)
}

/// Sorts topics by their groups, each topic once.
fn by_group(routes: &Routes, topics: Vec<Topic>) -> BTreeMap<String, Vec<Topic>> {
    let mut groups: BTreeMap<String, Vec<Topic>> = BTreeMap::new();
    for topic in topics {
        let of_group = groups.entry(routes.group(&topic)).or_default();
        if !of_group.contains(&topic) {
            of_group.push(topic);
        }
    }
    groups
}

/// A consumer that promises less than exactly once says so.
fn say_what_is_promised(shared: &Shared) {
    let in_order = shared.description.settling == Settling::InOrder;
    if in_order && shared.mode == Mode::AtLeastOnce {
        tracing::warn!(
            target: "kser",
            "states are carried, and the transport publishes before it settles: a redelivery can run a step, and all after it, twice",
        );
    }
}

/// Returns the owner that this consumer is: its instance name with the incarnation that the store registers, or a random name.
async fn owner(shared: &Shared, options: &Options) -> Result<Owner, Error> {
    let Some(instance) = &options.instance else {
        return Ok(Owner::new(Instance::from(shared.ids.next_id()), 0));
    };
    match &shared.store {
        Some(store) => {
            let registered = store.register(instance).await?;
            Ok(shared.store_clock.observe(registered))
        }
        None => Ok(Owner::new(instance.clone(), 0)),
    }
}

/// Waits until a later life of this instance is seen to have taken over.
async fn superseded(processor: &Processor) -> Error {
    processor.superseded.cancelled().await;
    Error::Superseded {
        instance: processor.owner.instance.to_string(),
    }
}

/// Ends the running deliveries within the deadline, and a little more for handlers that do not yield. Returns whether every
/// task ended by itself: a task that was left behind may still hold a thread.
async fn end(
    mut dispatcher: Dispatcher,
    processor: &Processor,
    subscriptions: Vec<Box<dyn Subscription>>,
    handle: &ConsumerHandle,
) -> bool {
    let mut graceful = dispatcher.end(processor.options.deadline).await.is_ok();
    if !graceful {
        processor.cancel.cancel();
        graceful = dispatcher.end(LAST_CALL).await.is_ok();
    }
    if !graceful {
        handle.name_dropped();
        processor.kill.cancel();
        if dispatcher.end(LAST_CALL).await.is_err() {
            handle.name_left_behind();
            handle.leave_gracefully().await;
        }
    }
    drop(dispatcher);
    leave(subscriptions).await;
    graceful
}

/// Leaves all groups at once, so that a backend that is silent costs its time once.
async fn leave(subscriptions: Vec<Box<dyn Subscription>>) {
    let mut leaving = JoinSet::new();
    for subscription in subscriptions {
        let limit = leave_timeout(&subscription.health());
        leaving.spawn(async move {
            let left = tokio::time::timeout(limit, subscription.close()).await;
            left.unwrap_or(Err(Error::TimedOut {
                what: "leaving the group",
            }))
        });
    }
    while let Some(left) = leaving.join_next().await {
        let error = match left {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => report(&error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            target: "kser", error,
            "leaving a group failed; its partitions move once the session of this member ends, and unfinished records count as crashed deliveries",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;
    use kser_core::{Delivery, Health, Leave, Room};

    use super::*;
    use crate::consumer::active::ActiveSet;
    use crate::consumer::signals::slack;
    use crate::consumer::{ConsumerHandle, ConsumerHealth};

    /// A member with many partitions, which takes its time to leave.
    #[derive(Debug)]
    struct SlowMember {
        partitions: i32,
        takes: Duration,
        left: Arc<Mutex<Vec<i32>>>,
    }

    #[async_trait]
    impl Subscription for SlowMember {
        async fn receive(&mut self, _: Room) -> Result<Vec<Delivery>, Error> {
            std::future::pending().await
        }

        fn health(&self) -> Health {
            let topic = Topic::new("many").unwrap();
            let mut health = Health::default();
            let partitions = 0..self.partitions;
            health.assigned = partitions
                .map(|partition| (topic.clone(), partition))
                .collect();
            health
        }

        fn leaver(&self) -> Option<Arc<dyn Leave>> {
            None
        }

        async fn close(self: Box<Self>) -> Result<(), Error> {
            self.leave().await
        }
    }

    #[async_trait]
    impl Leave for SlowMember {
        async fn leave(&self) -> Result<(), Error> {
            tokio::time::sleep(self.takes).await;
            self.left.lock().unwrap().push(self.partitions);
            Ok(())
        }
    }

    /// Returns a consumer whose graceful leave is that of one member with this many partitions, and the list of members that have left.
    async fn consumer(partitions: i32) -> (ConsumerHandle, Arc<Mutex<Vec<i32>>>) {
        let kser = crate::connect("memory://").await.unwrap();
        let consumer = kser.consumer(crate::Registry::new().build().unwrap());
        let handle = consumer.handle();
        let left = Arc::default();
        let member = SlowMember {
            partitions,
            takes: Duration::from_secs(19),
            left: Arc::clone(&left),
        };
        handle.set_health(ConsumerHealth {
            transport: vec![member.health()],
            ..ConsumerHealth::default()
        });
        let attempts = ActiveSet::default();
        let leavers: Vec<Arc<dyn Leave>> = vec![Arc::new(member)];
        let leave = GracefulLeave::new(Arc::clone(&consumer.shared), attempts, leavers);
        handle.set_graceful_leave(Some(leave));
        (handle, left)
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_with_thousands_of_partitions_has_time_to_leave_at_once() {
        for (partitions, expected) in [(6000, &[6000][..]), (2, &[])] {
            let (handle, left) = consumer(partitions).await;
            handle.leave_gracefully().await;
            assert_eq!(*left.lock().unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_process_is_not_ended_while_its_groups_may_be_left() {
        let slack = |handle: &ConsumerHandle| slack(handle.leave_timeout());
        let (handle, _) = consumer(2).await;
        assert_eq!(slack(&handle), Duration::from_secs(5));
        let (handle, _) = consumer(6000).await;
        assert_eq!(slack(&handle), Duration::from_secs(23));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_with_thousands_of_partitions_has_time_to_leave() {
        let left = Arc::new(Mutex::new(Vec::new()));
        let member = |partitions, seconds| {
            let (takes, left) = (Duration::from_secs(seconds), Arc::clone(&left));
            let member = SlowMember {
                partitions,
                takes,
                left,
            };
            Box::new(member) as Box<dyn Subscription>
        };
        leave(vec![member(6000, 19), member(1, 1), member(2, 19)]).await;
        assert_eq!(*left.lock().unwrap(), [1, 6000]);
    }
}
