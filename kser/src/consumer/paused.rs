/// Whether new deliveries are taken.
#[derive(Debug, Clone)]
pub(crate) struct Paused(tokio::sync::watch::Sender<bool>);

impl Paused {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::watch::Sender::new(false))
    }

    pub(crate) fn set(&self, paused: bool) {
        self.0.send_replace(paused);
    }

    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<bool> {
        self.0.subscribe()
    }

    pub(crate) fn is_paused(&self) -> bool {
        *self.0.borrow()
    }
}
