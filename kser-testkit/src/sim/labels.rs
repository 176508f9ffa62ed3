use std::collections::BTreeMap;
use std::sync::Arc;

use kser::run::RunEvent;
use kser_core::sequencing::{PlannedStep, Progress};
use kser_core::{Message, Name, Record, RunId, TaskId};

/// Labels of runs, steps and tasks, which are the same in every simulated run: `Checkout#1/2.Charge` for the second step
/// of the first run of an operation, and `Greet#1` for the first lone task of a kind.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    runs: BTreeMap<RunId, String>,
    tasks: BTreeMap<TaskId, String>,
    steps: BTreeMap<(RunId, u32), Name>,
    counts: BTreeMap<String, u32>,
}

impl Labels {
    /// Makes the id of the next run of an operation, which is its label too.
    pub(crate) fn new_run(&mut self, name: &Name) -> RunId {
        let label = self.count(name);
        let id = RunId::from(label.as_str());
        self.runs.insert(id.clone(), label);
        id
    }

    /// Makes the id of the next task of a kind, which is its label too.
    pub(crate) fn new_task(&mut self, name: &Name) -> TaskId {
        let label = self.count(name);
        let id = TaskId::from(label.as_str());
        self.tasks.insert(id.clone(), label);
        id
    }

    pub(crate) fn run(&mut self, id: &RunId, name: &Name) -> &str {
        if !self.runs.contains_key(id) {
            let label = self.count(name);
            self.runs.insert(id.clone(), label);
        }
        self.runs.get(id).map_or("", String::as_str)
    }

    /// The label of a run whose operation is not told here.
    pub(crate) fn known_run(&self, id: &RunId) -> String {
        self.runs.get(id).cloned().unwrap_or_else(|| id.to_string())
    }

    pub(crate) fn step(&self, run: &RunId, position: u32) -> String {
        let label = self.known_run(run);
        match (position, self.steps.get(&(run.clone(), position))) {
            (0, _) => format!("{label}/build"),
            (_, Some(name)) => format!("{label}/{position}.{}", name.short()),
            (_, None) => format!("{label}/{position}"),
        }
    }

    pub(crate) fn entrypoint(&self, run: &RunId, position: u32) -> Option<&Name> {
        self.steps.get(&(run.clone(), position))
    }

    pub(crate) fn learn(&mut self, run: &RunId, plan: &[PlannedStep]) {
        for step in plan {
            let key = &step.key;
            self.steps
                .insert((run.clone(), key.position), key.entrypoint.clone());
        }
    }

    /// Returns the label of a record: of the task, step or run event in it.
    pub(crate) fn record(&mut self, record: &Record, decoded: &Decoded) -> Arc<str> {
        let topic = record.topic.as_str();
        match decoded {
            Decoded::Message(message) => match topic.rsplit_once('.') {
                Some((_, "dlt")) => format!("{}/dead letter", self.message(message)).into(),
                _ => self.message(message).into(),
            },
            Decoded::Event(event) => {
                format!("{}/{}", self.run(&event.run, &event.name), event.status).into()
            }
            Decoded::Bytes => format!("bytes in {topic}").into(),
        }
    }

    pub(crate) fn message(&mut self, message: &Message) -> String {
        let Some(envelope) = message.metadata.envelope() else {
            return self.task(&message.uuid, &message.entrypoint);
        };
        self.run(&envelope.run, &envelope.name);
        if envelope.step > 0 {
            let step = (envelope.run.clone(), envelope.step);
            let name = &message.entrypoint;
            self.steps.entry(step).or_insert_with(|| name.clone());
        }
        self.step(&envelope.run, envelope.step)
    }

    /// The label of a task whose entrypoint is not told here.
    pub(crate) fn known_task(&self, id: &TaskId) -> String {
        self.tasks
            .get(id)
            .cloned()
            .unwrap_or_else(|| id.to_string())
    }

    pub(crate) fn task(&mut self, uuid: &TaskId, name: &Name) -> String {
        if let Some(label) = self.tasks.get(uuid) {
            return label.clone();
        }
        let label = self.count(name);
        self.tasks.insert(uuid.clone(), label.clone());
        label
    }

    fn count(&mut self, name: &Name) -> String {
        let count = self.counts.entry(name.short().to_owned()).or_default();
        *count += 1;
        format!("{}#{count}", name.short())
    }
}

/// The decoded content of a record.
#[derive(Debug, Clone)]
pub(crate) enum Decoded {
    Message(Arc<Message>),
    Event(Arc<RunEvent>),
    /// A payload that cannot be decoded, or none.
    Bytes,
}

impl Decoded {
    /// Reads a record.
    pub(crate) fn of(record: &Record) -> Self {
        let Some(payload) = record.payload.as_deref() else {
            return Self::Bytes;
        };
        if record.topic.as_str().ends_with("kser.events") {
            let event = RunEvent::decode(payload).map(Arc::new);
            return event.map_or(Self::Bytes, Self::Event);
        }
        let message = Message::decode(payload).map(Arc::new);
        message.map_or(Self::Bytes, Self::Message)
    }

    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Event(_) | Self::Bytes => None,
        }
    }
}

/// Describes the progress of a run in a few words.
pub(super) fn stand(progress: &Progress) -> String {
    let doing = match progress.is_started() {
        true => " begun",
        false => "",
    };
    let (status, position, steps) = (progress.status(), progress.position(), progress.steps());
    format!("{status} at {position} of {steps}{doing}")
}
