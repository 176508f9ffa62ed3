use std::ops::Deref;
use std::thread;

/// A client that is dropped on a background thread. Dropping a client of librdkafka joins its threads, and can block for
/// seconds when brokers do not answer; that must not happen on a thread of a runtime.
pub(crate) struct BackgroundDrop<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> BackgroundDrop<T> {
    pub(crate) const fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for BackgroundDrop<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken when this is dropped")
    }
}

impl<T: Send + 'static> Drop for BackgroundDrop<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        let thread = thread::Builder::new().name("kser-kafka-drop".to_owned());
        let _ = thread.spawn(move || drop(client));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    use super::*;

    struct Tells(Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn a_client_is_dropped_on_another_thread() {
        let (tell, told) = channel();
        drop(BackgroundDrop::new(Tells(tell)));
        assert_ne!(told.recv().unwrap(), thread::current().id());
    }
}
