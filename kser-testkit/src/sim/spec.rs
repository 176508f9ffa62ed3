use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kser::consumer::Consumer;
use kser::{Client, Error, Registry};
use kser_core::{StateStore, Transport};

pub(super) type Configure = Arc<dyn Fn(Consumer, usize) -> Consumer + Send + Sync>;
pub(super) type WrapTransport = Arc<dyn Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync>;
pub(super) type WrapStore = Arc<dyn Fn(Arc<dyn StateStore>) -> Arc<dyn StateStore> + Send + Sync>;

type Script = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A consumer, which may be started many times.
#[derive(Clone)]
pub(crate) struct ConsumerSpec {
    pub(crate) registry: Registry,
    pub(crate) configure: Configure,
    pub(crate) wrap: Wrap,
}

/// The wrappers around the transport and the store of a process.
#[derive(Clone, Default)]
pub(crate) struct Wrap {
    pub(super) transport: Option<WrapTransport>,
    pub(super) store: Option<WrapStore>,
}

impl Wrap {
    pub(crate) fn transport(&self, inner: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match &self.transport {
            Some(wrap) => wrap(inner),
            None => inner,
        }
    }

    pub(crate) fn store(&self, inner: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        match &self.store {
            Some(wrap) => wrap(inner),
            None => inner,
        }
    }
}

/// A client, which asks for something once.
pub(crate) struct ClientSpec {
    pub(crate) script: Box<dyn FnOnce(Client) -> Script + Send>,
}
