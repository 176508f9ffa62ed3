//! What groups write into the brokers' log of offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use crate::raw;

const TOPIC: &str = "__consumer_offsets";
const WAIT: Duration = Duration::from_secs(10);

/// Reads the log of the offsets from now on.
pub(crate) struct Offsets {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<(u64, u64)>,
    began: Instant,
}

impl Offsets {
    pub(crate) fn start(servers: &str) -> Self {
        let consumer = raw::consumer(servers, &[]);
        let metadata = consumer.fetch_metadata(Some(TOPIC), WAIT);
        let metadata = metadata.expect("the broker answers");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let ends = consumer.fetch_watermarks(TOPIC, partition.id(), WAIT);
            let (_, end) = ends.expect("the broker answers");
            let added = list.add_partition_offset(TOPIC, partition.id(), Offset::Offset(end));
            added.expect("it is an offset");
        }
        consumer.assign(&list).expect("it can be read");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reading = std::thread::spawn(move || {
            let (mut commits, mut bytes) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    commits += 1;
                    bytes += (message.key_len() + message.payload_len()) as u64;
                }
            }
            (commits, bytes)
        });
        Self {
            stop,
            reading,
            began: Instant::now(),
        }
    }

    /// Ends, and tells how much was written.
    pub(crate) fn stop(self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        let (commits, bytes) = self.reading.join().expect("it reads");
        format!(
            "{:.0} commits of partitions a second, {:.0} bytes each",
            commits as f64 / seconds,
            bytes as f64 / (commits.max(1)) as f64
        )
    }
}
