mod groups;
mod watched;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kser::client::{Clock, SystemClock};
use kser::consumer::{ConsumerHealth, ConsumerState};
use kser::message::Name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::counters::Counters;
use crate::histogram::Histogram;
use crate::watched::Look;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsFormat {
    /// The format that every Prometheus reads, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Returns the format that an `Accept` header asks for.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Returns the content type of the format.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The figures of a scrape.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) counters: Arc<Counters>,
    pub(crate) consumers: Vec<ConsumerHealth>,
    /// The entrypoints of the running attempts, with the ages of these.
    pub(crate) running: Vec<(Name, Duration)>,
    /// The latest look at the dead letters and the consumers, if a client is watched.
    pub(crate) look: Option<Look>,
    pub(crate) hostname: Arc<str>,
    pub(crate) python_names: bool,
}

/// The labels of a series.
type Labels = Vec<(&'static str, String)>;

impl Scrape {
    /// Writes the metrics as text.
    pub(crate) fn write(self, format: MetricsFormat) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        let encoded = match format {
            MetricsFormat::Prometheus => prometheus_text::encode(&mut written, &registry),
            MetricsFormat::OpenMetrics => text::encode(&mut written, &registry),
        };
        if let Err(error) = encoded {
            // Writing into a text does not fail, and all label values are texts.
            tracing::error!(target: "kser", %error, "writing the metrics failed; they are cut");
        }
        written
    }

    fn write_python(&self, out: &mut Out<'_>) -> fmt::Result {
        if !self.python_names {
            return Ok(());
        }
        let by_entrypoint = self.counters.by_entrypoint();
        let results = by_entrypoint.iter().flat_map(|(name, counts)| {
            let results = counts.results().into_iter();
            results.map(|(status, count)| {
                let hostname = self.hostname.to_string();
                let labels = [
                    ("hostname", hostname),
                    ("name", name.clone()),
                    ("status", status.to_owned()),
                ];
                (Labels::from(labels), count)
            })
        });
        out.counter("kser_task_result", "KSER task status", results)?;
        let started = [(Labels::new(), float(self.counters.started()))];
        out.gauge("kser_task_count", "KSER tasks launched", started)
    }

    fn write_attempts(&self, out: &mut Out<'_>) -> fmt::Result {
        let by_entrypoint = self.counters.by_entrypoint();
        let attempts = by_entrypoint.iter().flat_map(|(name, counts)| {
            let ends = counts.attempts().into_iter();
            ends.map(|(end, count)| (two("entrypoint", name, "outcome", end), count))
        });
        out.counter(
            "kser_attempts",
            "Attempts at tasks, steps and builds that have ended",
            attempts,
        )?;
        let durations = by_entrypoint.iter().flat_map(|(name, counts)| {
            let durations = counts.durations().into_iter();
            durations.map(|(end, histogram)| (two("entrypoint", name, "outcome", end), histogram))
        });
        out.histogram(
            "kser_attempt_duration_seconds",
            "Time from the start of an attempt to its end",
            durations,
        )?;
        let waits = by_entrypoint.iter();
        let waits = waits.map(|(name, counts)| (one("entrypoint", name), counts.waits()));
        out.histogram(
            "kser_step_wait_seconds",
            "Time from when an attempt could begin, since its message was published or its retry was due, until it began",
            waits,
        )?;
        // Only registered entrypoints have attempts.
        let running = by_entrypoint.iter().map(|(name, _)| {
            let of_name = self.running.iter().filter(|(of, _)| of.as_str() == name);
            let ages: Vec<_> = of_name.map(|(_, age)| *age).collect();
            (name, ages)
        });
        let running: Vec<_> = running.collect();
        let counts = running.iter();
        let counts = counts.map(|(name, ages)| (one("entrypoint", name), count(ages.len())));
        out.gauge("kser_attempts_running", "Attempts that run now", counts)?;
        let oldest = running.iter().filter_map(|(name, ages)| {
            let oldest = ages.iter().max()?;
            Some((one("entrypoint", name), oldest.as_secs_f64()))
        });
        out.gauge(
            "kser_attempt_oldest_seconds",
            "Time since the start of the oldest attempt that runs now",
            oldest,
        )
    }

    fn write_runs(&self, out: &mut Out<'_>) -> fmt::Result {
        let by_entrypoint = self.counters.by_entrypoint();
        let operations = || {
            by_entrypoint
                .iter()
                .filter(|(_, counts)| counts.shows_runs())
        };
        let launched =
            operations().map(|(name, counts)| (one("operation", name), counts.launched()));
        out.counter(
            "kser_runs_launched",
            "Runs of operations that producers of this process have launched",
            launched,
        )?;
        let ended = operations().flat_map(|(name, counts)| {
            counts
                .ended()
                .map(|(status, count)| (two("operation", name, "status", status), count))
        });
        out.counter(
            "kser_runs_ended",
            "Ends of runs, also of runs that are resumed later",
            ended,
        )?;
        let repaired = operations().flat_map(|(name, counts)| {
            counts
                .repaired()
                .map(|(verb, count)| (two("operation", name, "verb", verb), count))
        });
        out.counter(
            "kser_repairs",
            "Verbs of this process that have changed runs",
            repaired,
        )
    }

    fn write_records(&self, out: &mut Out<'_>) -> fmt::Result {
        let counters = &self.counters;
        let by_topic = |counts: Vec<(String, u64)>| {
            let counts = counts.into_iter();
            counts.map(|(topic, count)| (one("topic", &topic), count))
        };
        out.counter(
            "kser_dead_letters",
            "Records that this process has made dead letters, by their topic and the reason",
            counters
                .dead_letters()
                .into_iter()
                .map(|(reason, topic, count)| (two("topic", &topic, "reason", reason), count)),
        )?;
        out.counter(
            "kser_letters_settled",
            "Dead letters that this process has replayed, discarded or renewed, by their topic",
            counters
                .letters_settled()
                .into_iter()
                .map(|(how, topic, count)| (two("topic", &topic, "how", how), count)),
        )?;
        let settles = counters.settles();
        out.histogram(
            "kser_settle_duration_seconds",
            "Time from the end of an attempt until its outputs are published, of a part of the deliveries under load",
            settles.iter().map(|(topic, times)| (one("topic", topic), &**times)),
        )?;
        out.counter(
            "kser_settle_failures",
            "Settles that failed, after which the delivery is held and tried again, by its topic",
            by_topic(counters.settle_failures()),
        )?;
        out.counter(
            "kser_published_records",
            "Records that producers, verbs and sweeps have published",
            [(Labels::new(), counters.published())],
        )?;
        out.counter(
            "kser_publish_failures",
            "Records of producers, verbs and sweeps of which it is not known that they are published",
            [(Labels::new(), counters.publish_failures())],
        )?;
        out.histogram(
            "kser_publish_duration_seconds",
            "Time until the transport has answered a publish of producers, verbs and sweeps",
            [(Labels::new(), counters.publish())],
        )
    }

    fn write_store(&self, out: &mut Out<'_>) -> fmt::Result {
        let calls = || self.counters.store_calls();
        let times = calls().flat_map(|(call, times)| {
            let ends = [("done", &times.done), ("failed", &times.failed)];
            ends.map(|(end, times)| (two("call", call, "outcome", end), times))
        });
        out.histogram(
            "kser_store_duration_seconds",
            "Time until the state store has answered a call",
            times,
        )?;
        let conflicts = calls().find(|(call, _)| *call == "swap");
        out.counter(
            "kser_store_conflicts",
            "Writes that the state store refused, since the run had changed meanwhile",
            conflicts.map(|(_, calls)| (Labels::new(), calls.conflicts())),
        )
    }

    fn write_consumers(&self, out: &mut Out<'_>) -> fmt::Result {
        let states = [
            "created", "starting", "running", "stopped", "failed", "aborted",
        ];
        let states = states.into_iter().map(|state| {
            let consumers = self.consumers.iter();
            let of_state = consumers.filter(|health| label_of(&health.state) == state);
            (one("state", state), count(of_state.count()))
        });
        out.gauge(
            "kser_consumers",
            "Consumers of this process by their state",
            states,
        )?;
        let sum = |figure: fn(&ConsumerHealth) -> usize| {
            let running = self.consumers.iter();
            let running = running.filter(|health| health.state == ConsumerState::Running);
            [(Labels::new(), count(running.map(figure).sum()))]
        };
        out.gauge(
            "kser_consumers_paused",
            "Consumers that run and are paused",
            sum(|health| usize::from(health.paused)),
        )?;
        out.gauge(
            "kser_held_records",
            "Records in memory: running, waiting, parked, and handed in to the transport",
            sum(|health| health.held),
        )?;
        out.gauge(
            "kser_held_bytes",
            "Size of the records in memory",
            sum(|health| health.held_bytes),
        )?;
        out.gauge(
            "kser_parked_records",
            "Records in memory that wait for a moment, such as that of a retry",
            sum(|health| health.parked),
        )?;
        out.gauge(
            "kser_unsettled_partitions",
            "Partitions with deliveries whose outputs cannot be published",
            sum(|health| health.unsettled.len()),
        )
    }

    fn write_payloads(&self, out: &mut Out<'_>) -> fmt::Result {
        // All consumers of a client report the figures of the client, which are the same but for the moment of their last look.
        let forgotten = self
            .consumers
            .iter()
            .filter_map(|health| Some(health.store.as_ref()?.forgotten));
        out.counter(
            "kser_store_forgotten_runs",
            "Runs that failed or were cancelled and that the state store has removed, because it keeps no more of them",
            [(Labels::new(), forgotten.max().unwrap_or_default())],
        )?;
        let encryption = self
            .consumers
            .iter()
            .filter_map(|health| health.encryption.as_ref());
        let latest = encryption.max_by_key(|health| health.refused.values().sum::<u64>());
        let refused = latest.into_iter().flat_map(|health| &health.refused);
        out.counter(
            "kser_payloads_refused",
            "Encrypted payloads that could not be opened, by the reason",
            refused.map(|(reason, count)| (one("reason", reason), *count)),
        )
    }

    fn write_build(out: &mut Out<'_>) -> fmt::Result {
        let version = one("version", env!("CARGO_PKG_VERSION"));
        out.gauge(
            "kser_build_info",
            "Version of kser-observe",
            [(version, 1.0)],
        )
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.write_python(&mut out)?;
        self.write_attempts(&mut out)?;
        self.write_runs(&mut out)?;
        self.write_records(&mut out)?;
        self.write_store(&mut out)?;
        groups::write(&self.consumers, &mut out)?;
        self.write_consumers(&mut out)?;
        self.write_payloads(&mut out)?;
        let now = SystemClock::new().wall();
        watched::write(self.look.as_ref(), now, &mut out)?;
        Self::write_build(&mut out)
    }
}

/// The families of metrics that a scrape writes, one after another.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    /// Writes a counter. The encoder adds `_total` to its name.
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in samples {
            let mut series = family.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histogram<'h>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, &'h Histogram)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let read = histogram.read();
            // Series that were never used would be most of a scrape.
            if read.count == 0 && !labels.is_empty() {
                continue;
            }
            let mut series = family.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)?;
        }
        Ok(())
    }
}

fn one(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn two(name: &'static str, value: &str, other: &'static str, other_value: &str) -> Labels {
    vec![(name, value.to_owned()), (other, other_value.to_owned())]
}

/// Converts a count to the number of a gauge, exactly up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts are smaller")]
fn float(count: u64) -> f64 {
    count as f64
}

fn count(count: usize) -> f64 {
    float(count as u64)
}

fn label_of(state: &ConsumerState) -> &'static str {
    match state {
        ConsumerState::Starting => "starting",
        ConsumerState::Running => "running",
        ConsumerState::Stopped => "stopped",
        ConsumerState::Failed { .. } => "failed",
        ConsumerState::Aborted => "aborted",
        _ => "created",
    }
}

/// Returns the name of this host: that of `KSER_HOSTNAME` if it is set and not empty, otherwise the host's own.
pub(crate) fn hostname() -> String {
    let named = std::env::var("KSER_HOSTNAME").ok();
    let named = named.filter(|name| !name.is_empty());
    named.unwrap_or_else(host)
}

#[cfg(unix)]
fn host() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}
