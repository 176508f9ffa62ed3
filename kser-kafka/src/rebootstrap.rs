//! The second start of a client that has lost all its brokers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_librdkafka::add_bootstrap_servers;
use rdkafka::client::{Client, ClientContext};

use crate::clock::monotonic;

/// The number of starts after the latest report that all brokers are down.
const STARTS: u32 = 3;
/// The pause before the first start, which doubles with each.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two starts. Each costs the client some bytes.
const LONGEST: Duration = Duration::from_secs(60);
/// The time without a report after which an outage is over.
const CALM: Duration = Duration::from_secs(120);

/// The outage of all brokers of a client, after which the client gets its bootstrap servers again: librdkafka does that by itself,
/// but can fail to ([`add_bootstrap_servers`]). Clones share the outage.
///
/// A client that has lost its brokers to an answer that names none, such as that of a broker which the controller has fenced, reports
/// nothing. So the outage is noted, too, where a client hears no broker for long, or a request or a record times out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rebootstrap(Arc<Mutex<Outage>>);

/// The starts of a client during an outage.
#[derive(Debug, Default)]
struct Outage {
    reported: Option<Instant>,
    starts_left: u32,
    next: Option<Instant>,
    pause: Duration,
}

impl Rebootstrap {
    /// Notes that no broker answers the client, or that it reported all to be down. Returns whether there was no start to come before.
    pub(crate) fn note_outage(&self) -> bool {
        self.outage().report(monotonic())
    }

    /// Adds the bootstrap servers to the brokers of the client, if a start is due.
    pub(crate) fn start_if_due<C: ClientContext>(&self, client: &Client<C>) {
        if self.outage().is_due(monotonic()) {
            let servers = add_bootstrap_servers(client);
            tracing::debug!(target: "kser_kafka", servers, "all brokers were down: the client gets its bootstrap servers again");
        }
    }

    /// Returns how long it is until the next start, if there is one to come.
    pub(crate) fn next_start(&self) -> Option<Duration> {
        let outage = self.outage();
        let next = outage.next.filter(|_| outage.starts_left > 0)?;
        Some(next.saturating_duration_since(monotonic()))
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outage {
    fn report(&mut self, now: Instant) -> bool {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= CALM;
        if self.reported.is_none_or(is_over) {
            self.pause = FIRST;
            self.next = None;
        }
        self.reported = Some(now);
        let is_first = self.starts_left == 0;
        self.starts_left = STARTS;
        // A pause that has begun goes on.
        let soonest = now + FIRST;
        self.next = Some(self.next.map_or(soonest, |next| match is_first {
            true => next.max(soonest),
            false => next,
        }));
        is_first
    }

    fn is_due(&mut self, now: Instant) -> bool {
        if self.starts_left == 0 || self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.starts_left -= 1;
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    /// Lists the seconds at which a client starts whose brokers are reported to be down at these seconds.
    fn starts(reports: &[u64], until: u64) -> Vec<u64> {
        let began = monotonic();
        let mut outage = Outage::default();
        let mut starts = Vec::new();
        for second in 0..until {
            let now = began + Duration::from_secs(second);
            if reports.contains(&second) {
                outage.report(now);
            }
            if outage.is_due(now) {
                starts.push(second);
            }
        }
        starts
    }

    #[test]
    fn a_client_starts_three_times_after_the_last_report() {
        assert!(starts(&[], 100).is_empty());
        assert_eq!(starts(&[5], 500), [6, 7, 9]);
        assert_eq!(starts(&[5, 8], 500), [6, 7, 9, 13, 21]);
        // The next outage starts as soon.
        assert_eq!(starts(&[5, 300], 500), [6, 7, 9, 301, 302, 304]);
    }

    #[test]
    fn a_long_outage_costs_a_start_a_minute() {
        let reports: Vec<_> = (0..36_000).step_by(10).collect();
        let starts = starts(&reports, 37_000);
        assert!((600..615).contains(&starts.len()), "{}", starts.len());
        // However long it was, a client that was left without a broker by its end starts within a minute or so.
        let last = reports.last().copied().unwrap_or_default();
        let after = starts.iter().filter(|start| **start >= last);
        assert_eq!(after.clone().count(), 3);
        assert!(after.min().is_some_and(|first| *first <= last + 60));
    }

    #[test]
    fn a_client_that_has_its_brokers_keeps_them() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let client: BaseConsumer = config.create().unwrap();
        let rebootstrap = Rebootstrap::default();
        assert_eq!(rebootstrap.next_start(), None);
        assert!(rebootstrap.note_outage());
        assert!(!rebootstrap.note_outage());
        assert!(rebootstrap.next_start().is_some());
        rebootstrap.outage().next = Some(monotonic());
        for _ in 0..3 {
            rebootstrap.start_if_due(client.client());
            let found = client.fetch_metadata(Some("t"), Duration::from_secs(10));
            assert_eq!(found.unwrap().brokers().len(), 1);
        }
        assert_eq!(rebootstrap.outage().starts_left, 2);
    }
}
