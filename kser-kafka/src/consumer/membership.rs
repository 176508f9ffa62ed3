use std::sync::Arc;
use std::time::{Duration, Instant};

use kser_core::{Error, Health, NotInGroup, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::background_drop::BackgroundDrop;
use crate::broker_log::BrokerErrors;
use crate::channel::PollChannel;
use crate::clock::monotonic;
use crate::cluster_clients::ClusterClients;
use crate::consumer::assignor::{self, EAGER, STRATEGY};
use crate::consumer::context::MemberContext;
use crate::consumer::leave::NotAdmitted;
use crate::consumer::poll_thread::PollThread;
use crate::error::failed;
use crate::health::HealthMonitor;
use crate::member::Member;
use crate::transaction::TransactionOwner;

/// The pause after the group did not admit the member.
const AGAIN: Duration = Duration::from_secs(2);
/// The interval of log lines while the member waits.
const SAY: Duration = Duration::from_secs(60);

/// The membership in a group, over several clients: a client that was not admitted cannot be used again.
pub(crate) struct GroupMembership {
    pub(crate) cluster: Arc<ClusterClients>,
    pub(crate) settings: ClientConfig,
    pub(crate) group: String,
    pub(crate) channel: Arc<PollChannel>,
    /// Makes a member without partitions.
    pub(crate) member: Box<dyn Fn() -> Member + Send>,
    /// The topics that the health names when they are missing.
    pub(crate) topics: Vec<Topic>,
    /// The transaction thread, with exactly-once delivery.
    pub(crate) transactions: Option<TransactionOwner>,
    /// The number of partitions of the group at the choice of the assignor.
    pub(crate) partitions: usize,
}

impl GroupMembership {
    /// Creates the client and subscribes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] and [`Error::Backend`] if the client cannot be created.
    pub(crate) fn poll(&self) -> Result<PollThread, Error> {
        let mut member = (self.member)();
        let transactions = self.transactions.as_ref();
        member.transactions = transactions.map(|owner| Arc::clone(&owner.0));
        let broker_queries = self.cluster.broker_queries()?;
        let subscribed: Vec<_> = member.topics().into_iter().map(str::to_owned).collect();
        let channel = Arc::clone(&self.channel);
        let group = self.group.clone();
        let context = MemberContext::new(
            member,
            channel,
            BrokerErrors::default(),
            group,
            &self.cluster.config,
        );
        let mut consumer: BaseConsumer<MemberContext> = self
            .settings
            .create_with_context(context)
            .map_err(|error| failed("creating a consumer", None, error))?;
        let woken = Arc::clone(&self.channel);
        consumer.set_nonempty_callback(move || woken.wakeup.wake());
        let subscribed: Vec<_> = subscribed.iter().map(String::as_str).collect();
        if let Err(error) = consumer.subscribe(&subscribed) {
            // Dropping a client may block, and this may be a thread of a runtime.
            drop(BackgroundDrop::new(consumer));
            return Err(failed("subscribing", None, error));
        }
        let config = &self.cluster.config;
        let health = HealthMonitor::new(
            &self.settings,
            broker_queries,
            self.topics.clone(),
            config.stuck_after,
        );
        let instance = self.settings.get("group.instance.id").map(str::to_owned);
        let can_switch = assignor::can_switch(config);
        let every = config.commit_every;
        Ok(PollThread::new(
            consumer, every, health, instance, can_switch,
        ))
    }

    /// Polls until the subscription ends, and joins again with a new client whenever the group does not admit the member.
    pub(crate) fn run(mut self, mut poll: PollThread) {
        let mut since = monotonic();
        let mut said = None;
        loop {
            let began = monotonic();
            let Some(refused) = self.channel.guard("polling", || poll.run()).flatten() else {
                return;
            };
            if began.elapsed() > AGAIN * 5 {
                since = monotonic();
            }
            let goes_on = match refused {
                NotAdmitted::InstanceHeld => {
                    let name = self.settings.get("group.instance.id").unwrap_or_default();
                    let reason = format!(
                        "another member has the instance name {name}: after a crash it is free once the session has ended"
                    );
                    self.wait_outside(reason, since, &mut said)
                }
                NotAdmitted::GroupFull => {
                    let reason = "the group has reached the maximum size that the brokers allow \
                        (`group.consumer.max.size`)";
                    self.wait_outside(reason.to_owned(), since, &mut said)
                }
                NotAdmitted::OtherRebalance => self.switch(),
            };
            if !goes_on {
                return;
            }
            poll = match self.poll() {
                Ok(poll) => poll,
                Err(error) => return self.channel.finish(error),
            };
        }
    }

    /// Waits before the next attempt, and shows the reason in the health and the log. Returns `false` if the subscription has
    /// ended.
    fn wait_outside(&self, reason: String, since: Instant, said: &mut Option<Instant>) -> bool {
        if said.is_none_or(|said| said.elapsed() >= SAY) {
            *said = Some(monotonic());
            tracing::warn!(
                target: "kser_kafka",
                group = self.group,
                "joining failed: group {}; {reason}; retrying every {AGAIN:?}", self.group,
            );
        }
        let mut health = Health::default();
        health.group = Some(self.group.clone());
        let group = NotInGroup::new(&self.group, since.elapsed(), reason);
        health.not_in_group.push(group);
        self.channel.set_health(health);
        self.wait(AGAIN)
    }

    /// Changes to the other assignor, which the group uses. Returns `false` if the subscription has ended.
    fn switch(&mut self) -> bool {
        let other = assignor::other(self.settings.get(STRATEGY));
        let hint = match other {
            EAGER => "",
            _ => "; to change it, stop all members of the group first",
        };
        tracing::warn!(
            target: "kser_kafka",
            group = self.group,
            "group {} with {} partitions uses the assignor {other}; this member joins with it{hint}",
            self.group, self.partitions,
        );
        self.settings.set(STRATEGY, other);
        self.wait(Duration::from_millis(200))
    }

    /// Waits. Returns `false` if the subscription is closed or dropped meanwhile.
    fn wait(&self, time: Duration) -> bool {
        let until = monotonic() + time;
        loop {
            let commands = self.channel.take_commands();
            self.channel.confirm_releases(commands.released.len());
            if let Some(answer) = commands.close {
                self.channel.finish(Error::Closed);
                let _ = answer.send(Ok(()));
                return false;
            }
            if commands.dropped {
                self.channel.finish(Error::Closed);
                return false;
            }
            let left = until.saturating_duration_since(monotonic());
            if left.is_zero() {
                return true;
            }
            self.channel.wakeup.wait(left);
        }
    }
}
