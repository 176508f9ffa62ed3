use kser_core::{Envelope, Message, Metadata, Mode, Name, RunId, Topic};

/// The reference of a run: the parts that are the same in all of its messages.
#[derive(Debug, Clone)]
pub(crate) struct RunRef {
    pub(crate) id: RunId,
    pub(crate) name: Name,
    pub(crate) mode: Mode,
    /// The user's, which rides along.
    pub(crate) metadata: Metadata,
    /// Set if the message at hand has fields in `metadata.kser` that this version of kser does not know: they ride along.
    pub(crate) others: Option<Box<Envelope>>,
    /// Where reports of external steps are read, if not in the topic of the run's name: see [`Envelope::home`].
    pub(crate) home: Option<Topic>,
}

impl RunRef {
    /// Says whether the state of the run is in the store, and not in its messages.
    pub(crate) const fn is_stored(&self) -> bool {
        matches!(self.mode, Mode::Stored)
    }

    /// Makes a reference to the same run for code that writes none of its messages.
    pub(crate) fn without_metadata(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            mode: self.mode,
            metadata: Metadata::default(),
            others: None,
            home: None,
        }
    }

    /// Names the run of which `message` is a step, or which it asks for.
    pub(crate) fn of_message(id: RunId, name: Name, mode: Mode, message: &Message) -> Self {
        let envelope = message.metadata.envelope();
        let others = envelope.filter(|envelope| envelope.has_others());
        Self {
            home: envelope.and_then(|envelope| envelope.home.clone()),
            id,
            name,
            mode,
            others: others.cloned().map(Box::new),
            metadata: message.metadata.user_fields(),
        }
    }
}
