use kser_core::presence::Command;
use tokio::sync::watch::{Receiver, Sender};

/// Whether new deliveries are taken: a consumer is paused by its program, by an operator, or by both.
#[derive(Debug, Clone)]
pub(crate) struct Paused(Sender<Pauses>);

/// The pauses of a consumer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pauses {
    program: bool,
    operator: Option<Command>,
}

impl Paused {
    pub(crate) fn new() -> Self {
        Self(Sender::new(Pauses::default()))
    }

    /// Pauses, or ends the pause of the program.
    pub(crate) fn set(&self, paused: bool) {
        self.0.send_modify(|pauses| pauses.program = paused);
    }

    /// Pauses as an operator asks for, or ends the pause of an operator.
    pub(crate) fn set_by_operator(&self, command: Option<Command>) {
        self.0.send_modify(|pauses| pauses.operator = command);
    }

    pub(crate) fn changes(&self) -> Receiver<Pauses> {
        self.0.subscribe()
    }

    pub(crate) fn is_paused(&self) -> bool {
        let pauses = self.0.borrow();
        pauses.program || pauses.operator.is_some()
    }

    /// Returns the command by which an operator has paused the consumer.
    pub(crate) fn by_operator(&self) -> Option<Command> {
        self.0.borrow().operator.clone()
    }
}
