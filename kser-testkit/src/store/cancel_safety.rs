//! Cancel safety.

use crate::rules::store_sentences::sentence;
use std::task::Poll;

use kser_core::Outcome;
use kser_core::store::{Attempt, Write};

use super::{Inhabitant, plan};
use crate::StoreHarness;

#[doc = sentence!(a_dropped_write_is_whole_or_absent)]
pub async fn a_dropped_write_is_whole_or_absent(harness: &StoreHarness) {
    for number in 0..10 {
        let run = Inhabitant::new(harness, &format!("dropped {number}")).await;
        let mut write = Write::new(run.started());
        write.plan = Some(plan(&run.id, 2));
        write.attempt = Some(Attempt::new(
            0,
            "t".into(),
            1,
            run.now(),
            Outcome::default(),
        ));
        let mut swapping = Box::pin(run.store.swap(&run.id, run.progress.revision(), write));
        // Polled a few times, and dropped wherever it is.
        for _ in 0..number {
            let polled = std::future::poll_fn(|cx| Poll::Ready(swapping.as_mut().poll(cx))).await;
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(swapping);
        // Work in the background gets time to end.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let written = run.read().await.unwrap().version() != run.progress.version();
        let planned = run.store.step(&run.id, 1).await.unwrap().is_some();
        let told = !run
            .store
            .attempts(&run.id, None, 10)
            .await
            .unwrap()
            .rows
            .is_empty();
        assert_eq!((planned, told), (written, written));
    }
}
