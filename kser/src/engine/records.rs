//! The records of a run: the messages of its steps, its events, and the messages for the status hook of its operation.

use bytes::Bytes;
use kser_core::sequencing::{Effect, PlannedStep, Progress, SentStep};
use kser_core::{
    Envelope, Error, Limits, Message, Metadata, Mode, Name, Object, Outcome, Outgoing, Raw, Record,
    Status, StoreId, Timestamp, Topic,
};

use crate::engine::event::RunEvent;
use crate::engine::run_change::RunChange;
use crate::engine::run_ref::RunRef;
use crate::payloads::Payloads;
use crate::routes::Routes;
use crate::traces;

/// The entrypoint of the message that ends an external step.
pub(crate) const STEP_ENDED: &str = "kser.StepEnded";

/// Writes the records of runs.
#[derive(Debug, Clone)]
pub(crate) struct RecordWriter {
    pub(crate) routes: Routes,
    pub(crate) limits: Limits,
    pub(crate) store: Option<StoreId>,
    pub(crate) payloads: Payloads,
    /// Whether records have the trace context of their message as a header, too.
    pub(crate) has_trace_header: bool,
}

impl RecordWriter {
    /// Writes the records of a transition's effects. Dead letters are left to the caller, because it has the delivery.
    pub(crate) fn effects(
        &self,
        run: &RunRef,
        moved: RunChange<'_>,
        now: Timestamp,
    ) -> Result<Vec<Record>, Error> {
        let RunChange { before, after, .. } = moved;
        let change = status_change(run, &after.effects);
        let event = change.map(|(from, to)| RunEvent {
            status: to,
            ..RunEvent::changed(run.id.clone(), run.name.clone(), &after.progress, from, now)
        });
        // Before the step, which has the same key and may take an hour.
        let hook = event
            .as_ref()
            .filter(|_| after.progress.wants_status_hook());
        let mut records: Vec<Record> = hook
            .and_then(|event| self.hook_record(run, event))
            .into_iter()
            .collect();
        records.extend(self.steps(run, moved)?);
        if let Some(event) = event {
            records.push(self.event(&event)?);
        } else if let Some(event) = RunEvent::step(&run.id, &run.name, before, after, now) {
            records.push(self.event(&event)?);
        }
        Ok(records)
    }

    /// Checks before a transition is written that its outcome and its messages are within the limits. Otherwise the run would
    /// be stuck in a state whose records cannot be published.
    pub(crate) fn must_fit(&self, run: &RunRef, moved: RunChange<'_>) -> Result<(), Error> {
        let after = moved.after;
        self.outcome_fits(after.progress.outcome())?;
        for effect in &after.effects {
            let Effect::Publish { position, .. } = *effect else {
                continue;
            };
            match moved.planned(position) {
                Some(step) => {
                    let (topic, message) =
                        self.step_message(run, step, &after.progress, moved.rest)?;
                    let text = message.encode()?;
                    let size = self.payloads.sealed_len(&text, &topic, self.limits.message);
                    self.must_be_within(size, &message.entrypoint, message.metadata.envelope())?;
                }
                None => drop(self.step_to_publish(run, moved, position)?),
            }
        }
        Ok(())
    }

    /// Writes the messages of the steps that are to be published.
    fn steps(&self, run: &RunRef, moved: RunChange<'_>) -> Result<Vec<Record>, Error> {
        let effects = &moved.after.effects;
        let mut records = Vec::with_capacity(effects.len());
        for effect in effects {
            if let Effect::Publish {
                position,
                not_before,
            } = effect
            {
                let record = self.step_to_publish(run, moved, *position)?;
                records.push(record.with_not_before(*not_before));
            }
        }
        Ok(records)
    }

    fn step_to_publish(
        &self,
        run: &RunRef,
        moved: RunChange<'_>,
        position: u32,
    ) -> Result<Record, Error> {
        match (moved.planned(position), moved.launch) {
            (Some(step), _) => self.step(run, step, &moved.after.progress, moved.rest),
            (None, Some(launch)) if position == 0 => {
                self.relaunch(run, launch, &moved.after.progress)
            }
            _ => Err(Error::InvalidStep {
                position,
                reason: "the plan does not have it".to_owned(),
            }),
        }
    }

    /// Writes the record of a message that asks for a run.
    pub(crate) fn launch_record(&self, run: &RunRef, text: Bytes) -> Result<Record, Error> {
        let topic = self.routes.topic(&run.name)?;
        let record = self.traced(self.record(topic, text)?, &run.metadata);
        Ok(self.keyed(record, run.id.as_str()))
    }

    /// Writes the record of a message that asked for a run before: with the version that is current, by which it is told
    /// from the first one. Metadata `kser` of the user's own stay, and so does the message.
    fn relaunch(&self, run: &RunRef, launch: &Bytes, progress: &Progress) -> Result<Record, Error> {
        let mut message = Message::decode(launch)?;
        if message.metadata.foreign_kser() {
            return self.launch_record(run, launch.clone());
        }
        let mut envelope = self.envelope(run, progress);
        envelope.launch = true;
        message.metadata = message.metadata.with_envelope(Some(envelope));
        self.launch_record(run, message.encode()?)
    }

    /// Names the topic in which the record waits that makes a run go on from `step`: for an external step, that of its
    /// report.
    pub(crate) fn awaited(&self, run: &RunRef, step: &PlannedStep) -> Result<Topic, Error> {
        match step.external {
            Some(_) => self.home(run),
            None => self.topic_of(step),
        }
    }

    /// Names the topic of a step's message.
    fn topic_of(&self, step: &PlannedStep) -> Result<Topic, Error> {
        match &step.topic {
            Some(topic) => self.routes.prefixed(topic),
            None => self.routes.topic(&step.key.entrypoint),
        }
    }

    /// Names the topic in which reports of external steps are read.
    fn home(&self, run: &RunRef) -> Result<Topic, Error> {
        match &run.home {
            Some(home) => Ok(home.clone()),
            None => self.routes.topic(&run.name),
        }
    }

    /// Names the topic in which reports of a run are read whose name no operation may have: that of its first step that is not
    /// external, since a consumer reads it. `None` for that of its name.
    pub(crate) fn home_of(
        &self,
        name: &Name,
        plan: &[PlannedStep],
    ) -> Result<Option<Topic>, Error> {
        if plan.iter().all(|step| step.external.is_none()) {
            return Ok(None);
        }
        let ours = plan.iter().find(|step| step.external.is_none());
        let home = ours.map(|step| self.topic_of(step)).transpose()?;
        let of_name = self.routes.topic(name)?;
        Ok(home.filter(|home| *home != of_name))
    }

    /// Writes the message that asks for a run.
    pub(crate) fn launch(
        &self,
        run: &RunRef,
        progress: &Progress,
        params: Object,
    ) -> Result<Bytes, Error> {
        self.asking(run, progress, params, self.store.as_ref())
    }

    fn asking(
        &self,
        run: &RunRef,
        progress: &Progress,
        params: Object,
        store: Option<&StoreId>,
    ) -> Result<Bytes, Error> {
        let mut envelope = self.envelope(run, progress);
        envelope.launch = true;
        envelope.store = store.filter(|_| run.is_stored()).cloned();
        let mut message = Message::new(run.id.clone().into(), run.name.clone(), params);
        message.metadata = run.metadata.clone().with_envelope(Some(envelope));
        let text = message.encode()?;
        // Of an encrypted message the envelope is measured.
        if !self.payloads.is_encrypted() {
            self.must_be_within(text.len(), &run.name, None)?;
        }
        Ok(text)
    }

    /// Writes the record of a step's message.
    pub(crate) fn step(
        &self,
        run: &RunRef,
        step: &PlannedStep,
        progress: &Progress,
        rest: Option<&Raw>,
    ) -> Result<Record, Error> {
        let (topic, message) = self.step_message(run, step, progress, rest)?;
        let record = self.message(topic, &message)?;
        let record_key = step.record_key.as_deref().unwrap_or(run.id.as_str());
        Ok(self.keyed(record, record_key))
    }

    /// Returns the message of a step, and its topic.
    fn step_message(
        &self,
        run: &RunRef,
        step: &PlannedStep,
        progress: &Progress,
        rest: Option<&Raw>,
    ) -> Result<(Topic, Message), Error> {
        let mut envelope = self.envelope(run, progress);
        envelope.plan = rest.cloned();
        let given = match step.key.position {
            0 | 1 => None,
            _ => Some(progress.outcome()),
        };
        if step.external.is_some() {
            envelope.reply = Some(self.home(run)?);
        }
        if step.external.is_some() && !run.is_stored() {
            let sent = SentStep {
                step: step.clone(),
                given: given.cloned().unwrap_or_default(),
                metadata: run.metadata.user_fields(),
            };
            envelope.sent = Some(sent.encode(&run.id));
        }
        // Only the plan that this consumer wrote at the build is checked: a consumer in another language may pass the plan on
        // in a longer spelling.
        let own = rest.filter(|_| step.key.position <= 1);
        if let Some(plan) = own.filter(|plan| plan.as_str().len() > self.limits.carried_plan) {
            return Err(Error::TooLarge {
                what: "bytes of steps to come in the message (name a state store for longer operations)".into(),
                size: plan.as_str().len(),
                limit: self.limits.carried_plan,
            });
        }
        let key_of = &step.key;
        let mut message = Message::new(
            key_of.uuid.clone(),
            key_of.entrypoint.clone(),
            step.params.clone(),
        );
        if let Some(given) = given {
            message.result = given.clone();
        }
        message.metadata = run.metadata.clone().with_envelope(Some(envelope));
        Ok((self.topic_of(step)?, message))
    }

    /// Writes the record of a message that a handler sends, or of a run that it launches.
    pub(crate) fn output(
        &self,
        output: &Outgoing,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Record, Error> {
        let message = &output.message;
        let topic = match &output.topic {
            Some(topic) => self.routes.prefixed(topic)?,
            None => self.routes.topic(&message.entrypoint)?,
        };
        let record = match output.launch {
            true => {
                let run = RunRef {
                    id: message.uuid.clone().into(),
                    name: message.entrypoint.clone(),
                    mode,
                    metadata: message.metadata.clone(),
                    others: None,
                    home: None,
                };
                // The consumer that receives the launch stores the run: no store knows it yet.
                let text =
                    self.asking(&run, &Progress::launched(now), message.params.clone(), None)?;
                let record = self.record(topic, text)?;
                self.within(self.traced(record, &message.metadata), message)?
            }
            false => self.message(topic, message)?,
        };
        let own = output.launch.then(|| message.uuid.as_str());
        Ok(match output.key.as_deref().or(own) {
            Some(text) => self.keyed(record, text),
            None => record,
        })
    }

    /// Writes the report that ends an external step, for the run that it belongs to.
    pub(crate) fn report(
        &self,
        reply: Topic,
        step: &Message,
        outcome: Outcome,
    ) -> Result<Record, Error> {
        let mut report = Message::new(step.uuid.clone(), STEP_ENDED.into(), Object::default());
        report.result = outcome;
        report.metadata = step.metadata.clone();
        let record = self.message(reply, &report)?;
        Ok(match step.metadata.envelope() {
            Some(envelope) => self.keyed(record, envelope.run.as_str()),
            None => record,
        })
    }

    /// Writes an event.
    pub(crate) fn event(&self, event: &RunEvent) -> Result<Record, Error> {
        let record = self.record(self.routes.events()?, event.encode()?.into())?;
        Ok(self.keyed(record, event.run.as_str()))
    }

    /// Writes a message whose payload is within the limit.
    pub(crate) fn message(&self, topic: Topic, message: &Message) -> Result<Record, Error> {
        let record = self.record(topic, message.encode()?)?;
        self.within(self.traced(record, &message.metadata), message)
    }

    fn traced(&self, record: Record, metadata: &Metadata) -> Record {
        match self.has_trace_header {
            true => traces::with_header(record, metadata),
            false => record,
        }
    }

    /// Writes a record without a key, whose payload is the sealed text.
    fn record(&self, topic: Topic, text: Bytes) -> Result<Record, Error> {
        let payload = self.payloads.seal(text, &topic)?;
        Ok(Record::new(topic, Some(payload)))
    }

    fn keyed(&self, record: Record, key: &str) -> Record {
        let key = Bytes::copy_from_slice(key.as_bytes());
        record.with_key(self.payloads.record_key(key))
    }

    /// Refuses the record of a message whose payload is over the limit.
    pub(crate) fn within(&self, record: Record, message: &Message) -> Result<Record, Error> {
        let size = record.payload.as_ref().map_or(0, Bytes::len);
        self.must_be_within(size, &message.entrypoint, message.metadata.envelope())?;
        Ok(record)
    }

    /// Refuses the record of a launch whose envelope is over the limit. The text of one that is not encrypted was measured before.
    pub(crate) fn launch_fits(&self, run: &RunRef, record: &Record) -> Result<(), Error> {
        match (self.payloads.is_encrypted(), &record.payload) {
            (true, Some(payload)) => self.must_be_within(payload.len(), &run.name, None),
            _ => Ok(()),
        }
    }

    fn must_be_within(
        &self,
        size: usize,
        name: &Name,
        envelope: Option<&Envelope>,
    ) -> Result<(), Error> {
        if size <= self.limits.message {
            return Ok(());
        }
        let step = envelope.filter(|of| of.step > 0);
        let step = step.map(|of| format!("step {} of {}, ", of.step, of.run));
        let step = step.unwrap_or_default();
        Err(Error::TooLarge {
            what: format!(
                "bytes of the message of {step}{name} (send where large data is, not the data)"
            )
            .into(),
            size,
            limit: self.limits.message,
        })
    }

    /// Refuses an outcome that no message should carry.
    pub(crate) fn outcome_fits(&self, outcome: &Outcome) -> Result<(), Error> {
        let limit = self.limits.outcome;
        match outcome.fits(limit) {
            true => Ok(()),
            false => Err(Error::TooLarge {
                what: "bytes of the outcome".into(),
                size: outcome.encoded_len(),
                limit,
            }),
        }
    }

    fn envelope(&self, run: &RunRef, progress: &Progress) -> Envelope {
        let mut envelope = Envelope::new(run.id.clone(), run.name.clone(), run.mode);
        envelope.step = progress.position();
        envelope.of = progress.steps();
        envelope.version = progress.version();
        envelope.attempts = progress.attempts();
        envelope.uncounted = progress.uncounted();
        envelope.crash_count = progress.crash_count();
        envelope.first_failed = progress.first_failed();
        envelope.step_events = progress.wants_step_events();
        envelope.status_hook = progress.wants_status_hook();
        envelope.home.clone_from(&run.home);
        if run.is_stored() {
            envelope.store.clone_from(&self.store);
            envelope.stamp = progress.stamp();
            envelope.started = progress.is_started();
            envelope.life = progress.life();
        }
        match &run.others {
            Some(before) => envelope.with_others_of(before),
            None => envelope,
        }
    }

    /// Writes the message that tells the operation's status hook of a change of status. A failure is logged and does not stop
    /// the run: its events have the status too.
    fn hook_record(&self, run: &RunRef, event: &RunEvent) -> Option<Record> {
        let told = self.hook(run, event);
        if let Err(error) = &told {
            let error: &dyn std::error::Error = error;
            tracing::error!(target: "kser", run = ?run.id, error, "publishing a status message failed; the hook of the operation is not called");
        }
        told.ok()
    }

    fn hook(&self, run: &RunRef, event: &RunEvent) -> Result<Record, Error> {
        let outcome = event.outcome.clone();
        let change = kser_core::StatusChange::new(
            run.id.clone(),
            run.name.clone(),
            event.from,
            event.status,
            event.version,
            outcome,
        );
        let uuid = format!("{}#{}", run.id, event.version);
        let mut message = Message::new(uuid.into(), run.name.status_hook(), Object::new(&change)?);
        message.metadata = run.metadata.user_fields();
        let record = self.message(self.routes.topic(&run.name)?, &message)?;
        Ok(self.keyed(record, run.id.as_str()))
    }
}

/// The change of status that the effects add up to: one event for each version.
fn status_change(run: &RunRef, effects: &[Effect]) -> Option<(Status, Status)> {
    let mut total = None;
    for effect in effects {
        if let Effect::StatusChanged { from, to } = effect {
            kser_core::log::set_status(&run.name, run.id.as_str(), *from, *to);
            total = Some((total.map_or(*from, |(first, _)| first), *to));
        }
    }
    total
}
