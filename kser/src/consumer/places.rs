use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for handlers: that many run at once. Waits for places are served in their order.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    wanted: AtomicUsize,
}

/// A wait for places, until it is dropped.
struct Want<'a>(&'a AtomicUsize);

impl Places {
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Inner {
            free: Arc::new(Semaphore::new(places)),
            wanted: AtomicUsize::new(0),
        }))
    }

    /// Takes a place if one is free and no call waits for it.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.free).try_acquire_owned().ok()
    }

    /// Waits for a number of places. A worker leaves its place to this before it starts another delivery.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn take(&self, places: u32) -> Option<OwnedSemaphorePermit> {
        let _want = self.want();
        let taken = Arc::clone(&self.0.free).acquire_many_owned(places).await;
        taken.ok()
    }

    /// Waits for a place that no worker needs for its next delivery.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn take_spare(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.free).acquire_owned().await.ok()
    }

    /// Says whether a place is free.
    pub(crate) fn is_free(&self) -> bool {
        self.0.free.available_permits() > 0
    }

    /// Says whether deliveries wait for places.
    pub(crate) fn are_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Relaxed) > 0
    }

    /// Lends the place of a handler to others.
    pub(crate) fn lend(&self) {
        self.0.free.add_permits(1);
    }

    fn want(&self) -> Want<'_> {
        self.0.wanted.fetch_add(1, Ordering::Relaxed);
        Want(&self.0.wanted)
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_for_a_place_is_known_until_it_ends() {
        let places = Places::new(1);
        let place = places.try_take().unwrap();
        assert!(!places.is_free() && places.try_take().is_none());
        let mut waiting = Box::pin(places.take(1));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the place is taken"),
            () = std::future::ready(()) => {}
        }
        assert!(places.are_wanted());
        drop(place);
        assert!(places.try_take().is_none(), "a call waits for it");
        assert!(waiting.await.is_some());
        assert!(!places.are_wanted() && places.is_free());
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_and_one_for_a_spare_place_want_none() {
        let places = Places::new(1);
        let place = places.try_take();
        for spare in [false, true] {
            let mut waiting: std::pin::Pin<Box<dyn Future<Output = _>>> = match spare {
                true => Box::pin(places.take_spare()),
                false => Box::pin(places.take(1)),
            };
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("the place is taken"),
                () = std::future::ready(()) => {}
            }
            assert_eq!(places.are_wanted(), !spare);
            drop(waiting);
            assert!(!places.are_wanted());
        }
        drop(place);
        assert!(places.is_free());
    }
}
