use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use kser_core::{Delivery, Error, Room, Timestamp};
use tokio::time::{Sleep, sleep_until};

use super::subscription::MemorySubscription;
use crate::MemoryClock;

/// A future that waits for deliveries. It takes them and resolves in one step, so that dropping it loses none.
#[derive(Debug)]
pub(super) struct Receiving<'a> {
    subscription: &'a mut MemorySubscription,
    room: Room,
    /// Whether the member is parked at the broker.
    parked: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<'a> Receiving<'a> {
    pub(super) const fn new(subscription: &'a mut MemorySubscription, room: Room) -> Self {
        Self {
            subscription,
            room,
            parked: false,
            sleep: None,
        }
    }

    /// Sets the timer for a wake-up at a time. Returns whether the time has passed.
    fn is_over(&mut self, until: Timestamp, cx: &mut Context<'_>) -> bool {
        let until = MemoryClock::instant(until);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(until);
                sleep
            }
            None => self.sleep.insert(Box::pin(sleep_until(until))),
        };
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl Future for Receiving<'_> {
    type Output = Result<Vec<Delivery>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let subscription = &mut this.subscription;
            match subscription.take_or_park(this.room, cx.waker(), this.parked) {
                Ok(Ok(deliveries)) => {
                    this.parked = false;
                    return Poll::Ready(Ok(deliveries));
                }
                Ok(Err(until)) => {
                    this.parked = true;
                    if !until.is_some_and(|until| this.is_over(until, cx)) {
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        if self.parked {
            self.subscription.unpark();
        }
    }
}
