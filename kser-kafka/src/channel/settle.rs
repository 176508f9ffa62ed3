use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{EndedDelivery, Error, HandIn, NotPublished, Record, Settle, Timestamp};
use tokio::sync::oneshot;

use crate::channel::{PollChannel, RecordId};
use crate::cluster_clients::ClusterClients;
use crate::delay;
use crate::topics::limits::CachedLimits;
use crate::transaction::{Answers, EndedRecord, TransactionLink, none_published};

/// Settles the deliveries of one member: publishes the outputs, and then marks the record as done for the next commit.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) channel: Arc<PollChannel>,
    pub(crate) cluster: Arc<ClusterClients>,
    /// The transaction thread, with exactly-once delivery.
    pub(crate) transactions: Option<Arc<TransactionLink>>,
}

#[async_trait]
impl Settle for Settler {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        let id = RecordId::of_ticket(ticket);
        if !self.channel.is_live(id.assignment) {
            return Err(Error::Lost);
        }
        if let Some(transactions) = &self.transactions {
            return self.settle_together(transactions, id, outputs).await;
        }
        if !outputs.is_empty() {
            let published = self.cluster.publish(outputs).await;
            published.map_err(|source| Error::Unpublished { source })?;
        }
        self.channel.mark_done(id)
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        let id = RecordId::of_ticket(ticket);
        if !self.channel.is_live(id.assignment) {
            return Err(Error::Lost);
        }
        let (answer, noted) = oneshot::channel();
        self.channel
            .command(|commands| commands.begun.push((id, answer)));
        // Without an answer the thread has ended, and the partition is lost.
        noted.await.unwrap_or(Err(Error::Lost))
    }

    /// The next commit stores the number of failed attempts if its metadata has room. Otherwise counting starts again after a
    /// stop.
    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        let id = RecordId::of_ticket(ticket);
        self.channel.release(id, not_before, failed);
    }
}

impl HandIn for Settler {
    /// A delayed record has to be awaited, since the limits of its topics may have to be asked for. In transactions the limits of all
    /// topics are compared, as far as they are known, and a record that is too large is awaited, too, since they may be old.
    fn hand_in(&self, mut ended: EndedDelivery) -> Result<(), EndedDelivery> {
        let id = RecordId::of_ticket(ended.id());
        if !self.channel.is_live(id.assignment) {
            ended.report_lost();
            return Ok(());
        }
        let publisher = &self.cluster.publisher;
        let is_delayed = |record: &Record| delay::left(record, &publisher.time).is_some();
        if let Some(transactions) = &self.transactions {
            if ended.outputs().iter().any(is_delayed) {
                return Err(ended);
            }
            if !self.cluster.config.compresses() {
                let limits = self.cluster.limits.check_cached(ended.outputs());
                let limits = limits.unwrap_or_else(|| {
                    self.cluster.read_limits(ended.outputs());
                    CachedLimits::default()
                });
                if !limits.too_large.is_empty() {
                    return Err(ended);
                }
                transactions.bound_batches(limits.smallest);
            }
            let outputs = ended.take_outputs().into();
            let answers = Answers::HandIn(ended);
            transactions.hand_in(EndedRecord {
                id,
                outputs,
                answers,
            });
            return Ok(());
        }
        if ended.outputs().is_empty() {
            report_acknowledged(ended, self.channel.mark_done(id));
            return Ok(());
        }
        if ended.outputs().iter().any(is_delayed) {
            return Err(ended);
        }
        let Some(room) = publisher.room_for(ended.outputs()) else {
            return Err(ended);
        };
        let (outputs, channel) = (ended.take_outputs(), Arc::clone(&self.channel));
        publisher.send_all(outputs, room, move |outputs, failed| {
            match failed.is_empty() {
                true => report_acknowledged(ended, channel.mark_done(id)),
                false => ended.report_unpublished(outputs.to_vec(), NotPublished::new(failed)),
            }
        });
        Ok(())
    }
}

impl Settler {
    /// Settles a delivery by a transaction. If an output is refused, nothing is published.
    async fn settle_together(
        &self,
        transactions: &TransactionLink,
        id: RecordId,
        outputs: &[Record],
    ) -> Result<(), Error> {
        let mut refused = self.cluster.refused_delays(outputs).await;
        if refused.is_empty() && !self.cluster.config.compresses() {
            let read = self.cluster.limits.read(&self.cluster.admin, outputs);
            let limits = read.await;
            transactions.bound_batches(limits.smallest);
            refused = limits.too_large;
        }
        if !refused.is_empty() {
            let source = none_published(outputs.len(), refused);
            return Err(Error::Unpublished { source });
        }
        let outputs: Arc<[Record]> = outputs.into();
        let mut has_created = false;
        loop {
            let (answer, answered) = oneshot::channel();
            transactions.hand_in(EndedRecord {
                id,
                outputs: Arc::clone(&outputs),
                answers: Answers::Settle(answer),
            });
            // Without an answer the thread has ended, and the partition is lost.
            let source = match answered.await.unwrap_or(Err(Error::Lost)) {
                Err(Error::Unpublished { source }) => source,
                other => return other,
            };
            if !has_created && self.cluster.create_missing(&source).await {
                has_created = true;
                continue;
            }
            let source = self.cluster.with_limits(source).await;
            return Err(Error::Unpublished { source });
        }
    }
}

/// Reports a delivery whose outputs are published.
fn report_acknowledged(ended: EndedDelivery, marked: Result<(), Error>) {
    match marked {
        Ok(()) => ended.report_settled(),
        Err(_) => ended.report_lost(),
    }
}

/// Settles the deliveries of a reader without a group: publishes the outputs, and commits nothing.
#[derive(Debug)]
pub(crate) struct GrouplessSettler(pub(crate) Arc<ClusterClients>);

#[async_trait]
impl Settle for GrouplessSettler {
    async fn settle(&self, _: u128, outputs: &[Record]) -> Result<(), Error> {
        let published = self.0.publish(outputs).await;
        published.map_err(|source| Error::Unpublished { source })
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
}

impl HandIn for GrouplessSettler {
    /// Readers without a group settle rarely.
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
        Err(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use kser_core::{HandInReports, Ticket, Told, Topic};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::KafkaConfig;
    use crate::broker_log::BrokerErrors;
    use crate::clock::Time;
    use crate::producer::Publisher;
    use crate::topics::admin::TopicAdmin;
    use crate::topics::limits::TopicLimits;

    const ID: RecordId = RecordId {
        assignment: 1,
        offset: 5,
    };

    #[derive(Debug)]
    struct Results(Mutex<mpsc::Sender<Told>>);

    impl HandInReports for Results {
        fn report(&self, told: Told) {
            let _ = self.0.lock().unwrap().send(told);
        }
    }

    struct Member {
        cluster: MockCluster<'static, DefaultProducerContext>,
        settler: Arc<Settler>,
        results: Arc<dyn HandInReports>,
        told: mpsc::Receiver<Told>,
    }

    impl Member {
        fn start() -> Self {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic("t", 1, 1).unwrap();
            let servers = cluster.bootstrap_servers();
            let url = format!("kafka://{servers}?message.max.bytes=2000");
            let config = KafkaConfig::from_url(&url).unwrap();
            let time = Time::new(Arc::clone(&config.clock));
            let publisher = Publisher::new(config.producer(), BrokerErrors::default(), time);
            let clients = ClusterClients {
                admin: TopicAdmin::new(&config, BrokerErrors::default()).unwrap(),
                config,
                publisher: Arc::new(publisher.unwrap()),
                limits: TopicLimits::default(),
                broker_queries: Mutex::default(),
            };
            let settler = Settler {
                channel: Arc::default(),
                cluster: Arc::new(clients),
                transactions: None,
            };
            settler.channel.begin(ID.assignment);
            let (tell, told) = mpsc::channel();
            Self {
                cluster,
                settler: Arc::new(settler),
                results: Arc::new(Results(Mutex::new(tell))),
                told,
            }
        }

        fn hand_in(&self, outputs: Vec<Record>) {
            let ticket = Ticket::with_hand_in(ID.ticket(), Arc::<Settler>::clone(&self.settler));
            let _ = ticket.hand_in(outputs, 3, &self.results).unwrap();
        }

        fn next(&self) -> Told {
            let told = self.told.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(told.place, 3);
            told
        }

        fn done(&self) -> Vec<RecordId> {
            self.settler.channel.take_commands().done
        }
    }

    fn record(bytes: usize) -> Record {
        Record::new(Topic::new("t").unwrap(), Some(vec![b'x'; bytes].into()))
    }

    #[test]
    fn a_delivery_that_is_handed_in_is_done_once_its_outputs_are_published() {
        let member = Member::start();
        for outputs in [vec![record(1), record(1)], Vec::new()] {
            member.hand_in(outputs);
            let settled = member.next().result.unwrap();
            assert!(!settled.is_lost() && !settled.is_released());
            assert_eq!(member.done(), [ID]);
        }
    }

    #[test]
    fn a_partition_that_is_lost_before_the_report_is_told() {
        let member = Member::start();
        let delay = Duration::from_millis(500);
        member.cluster.broker_round_trip_time(1, delay).unwrap();
        member.hand_in(vec![record(1)]);
        member.settler.channel.end(ID.assignment);
        assert!(member.next().result.unwrap().is_lost());
        member.hand_in(vec![record(1)]);
        assert!(member.next().result.unwrap().is_lost());
        assert!(member.done().is_empty());
    }

    #[test]
    fn a_delivery_with_an_output_that_is_refused_comes_back_and_names_it() {
        let member = Member::start();
        member.hand_in(vec![record(1), record(3000), record(1)]);
        let returned = member.next().result.unwrap_err();
        let unpublished = returned.unpublished.failed.iter();
        let positions: Vec<_> = unpublished.map(|(index, _)| *index).collect();
        assert_eq!((positions, returned.outputs.len()), (vec![1], 3));
        assert!(member.done().is_empty());
        let _ = returned.ticket.release(None);
    }

    /// The settle that follows finds the producer broken and has it replaced, and the next one is through.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_delivery_comes_back_from_a_producer_that_met_a_fatal_error() {
        let member = Member::start();
        let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        let produce = RDKafkaApiKey::Produce;
        member.cluster.request_errors(produce, &[fatal]);
        member.hand_in(vec![record(1), record(1)]);
        let returned = member.next().result.unwrap_err();
        assert_eq!(returned.unpublished.failed.len(), 2);
        member.cluster.clear_request_errors(produce);
        let outputs = returned.outputs;
        let settled = returned.ticket.settle(&outputs).await;
        let ticket = settled.unwrap_err().ticket;
        assert!(!ticket.settle(&outputs).await.unwrap().is_lost());
        assert_eq!(member.done(), [ID]);
    }

    #[test]
    fn a_delayed_output_is_awaited() {
        let member = Member::start();
        let due = member.settler.cluster.publisher.time.now() + Duration::from_secs(60);
        let ticket = Ticket::with_hand_in(ID.ticket(), Arc::<Settler>::clone(&member.settler));
        let outputs = vec![record(1).with_not_before(Some(due))];
        let (ticket, outputs) = ticket.hand_in(outputs, 3, &member.results).unwrap_err();
        assert_eq!(outputs.len(), 1);
        let _ = ticket.release(None);
    }
}
