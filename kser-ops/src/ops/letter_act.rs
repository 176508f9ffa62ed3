use std::collections::BTreeMap;
use std::time::Duration;

use kser::Error;
use kser::backend::RecordPlace;
use kser::dead_letter::DeadLetter;
use kser::message::Topic;
use kser::run::RunId;
use tokio::time::timeout;

use crate::error::OpsError;
use crate::letter::{DEAD_LETTERS, LetterAddress};
use crate::ops::Ops;
use crate::ops::act_report::ActReport;
use crate::ops::brake::Brake;
use crate::ops::letter_plan::{LeftLetter, LetterPlan, LetterVerb, Targets, refusal};
use crate::ops::letters::LetterFilter;
use crate::ops::pace::Pace;

/// The time without a letter after which those that are expected are taken to be in other hands: that of a rebalance.
const PATIENCE: Duration = Duration::from_secs(30);

impl Ops {
    /// Carries a plan out: joins the group of the dead letters, takes those of the plan in their order, and leaves all others where they
    /// are. `tell` is called after each letter.
    ///
    /// An act that is killed has settled the letters that it has done, and no others: make a plan again, and go on.
    ///
    /// # Errors
    ///
    /// [`OpsError::Kser`] when the backend fails before a letter is taken. An error after that is in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no letter. The letter in hand may be done or not.
    pub async fn act_on_letters(
        &self,
        plan: &LetterPlan,
        pace: &Pace,
        tell: impl FnMut(&ActReport<LeftLetter>) + Send,
    ) -> Result<ActReport<LeftLetter>, OpsError> {
        self.needs_kafka("an act on dead letters")?;
        let mut act = Act {
            ops: self,
            verb: plan.verb,
            brake: Brake::new(self, pace),
            report: ActReport::default(),
            tell,
        };
        for (topic, targets) in &plan.targets {
            match act.report.stopped {
                None => act.topic(topic, targets.clone()).await?,
                Some(_) => act.report.not_tried += len(targets),
            }
        }
        let Act {
            brake,
            mut report,
            mut tell,
            ..
        } = act;
        let ends = brake.finish(|ends| {
            report.ends = ends;
            tell(&report);
        });
        report.ends = ends.await;
        Ok(report)
    }
}

fn len<K, V>(of: &BTreeMap<K, V>) -> u64 {
    u64::try_from(of.len()).unwrap_or(u64::MAX)
}

/// An act that goes on.
struct Act<'a, F> {
    ops: &'a Ops,
    verb: LetterVerb,
    brake: Brake<'a>,
    report: ActReport<LeftLetter>,
    tell: F,
}

impl<F: FnMut(&ActReport<LeftLetter>) + Send> Act<'_, F> {
    /// Takes the letters of one topic.
    async fn topic(&mut self, topic: &Topic, mut targets: Targets) -> Result<(), OpsError> {
        let prefix = self.ops.client.routes().prefix();
        let plain = topic
            .as_str()
            .strip_prefix(prefix)
            .unwrap_or(topic.as_str());
        let plain = plain.strip_suffix(DEAD_LETTERS).unwrap_or(plain);
        let mut session = self.ops.client.dead_letters(plain).await?;
        while !targets.is_empty() && self.report.stopped.is_none() {
            let letter = match timeout(PATIENCE, session.next()).await {
                Ok(letter) => letter?,
                Err(_) => break,
            };
            let place = letter.record_place();
            let Some(run) = targets.remove(&place) else {
                letter.keep();
                continue;
            };
            self.brake.turn().await;
            self.one(topic, letter, run).await;
            if self.report.stopped.is_none() {
                self.check().await;
            }
        }
        match self.report.stopped {
            Some(_) => self.report.not_tried += len(&targets),
            None => self.leave_missing(topic, targets).await?,
        }
        // The letters that are left are free for others at once.
        session.close().await?;
        Ok(())
    }

    /// Takes one letter.
    async fn one(&mut self, topic: &Topic, letter: DeadLetter, run: Option<RunId>) {
        let address = LetterAddress::new(topic.clone(), letter.record_place());
        let done = match self.verb {
            LetterVerb::Replay => letter.replay().await,
            LetterVerb::Discard => letter.discard().await,
            LetterVerb::Renew => letter.renew().await,
        };
        match done {
            Ok(()) => {
                self.report.done += 1;
                if self.verb == LetterVerb::Replay {
                    self.brake.add(run);
                }
            }
            Err(error) => self.refuse(address, run, &error),
        }
        self.report.ends = self.brake.ends();
        (self.tell)(&self.report);
    }

    /// Stops the act if the brake says so.
    async fn check(&mut self) {
        let Self {
            brake,
            report,
            tell,
            ..
        } = self;
        let done = report.done;
        let stopped = brake.check(done, |ends| {
            report.ends = ends;
            tell(report);
        });
        report.stopped = stopped.await;
    }

    fn refuse(&mut self, address: LetterAddress, run: Option<RunId>, error: &Error) {
        if error.is_temporary() {
            self.report.stopped = Some(error.report());
            self.report.not_tried += 1;
            return;
        }
        self.leave(LeftLetter::new(address, run, refusal(error)));
    }

    fn leave(&mut self, left: LeftLetter) {
        self.report.leave(left);
    }

    /// Says why letters have not come: they are gone, or another session has them.
    async fn leave_missing(&mut self, topic: &Topic, targets: Targets) -> Result<(), OpsError> {
        if targets.is_empty() {
            return Ok(());
        }
        let mut there = Vec::new();
        let mut view = self
            .ops
            .letters(Some(topic.as_str()), LetterFilter::default())
            .await?;
        while let Some(page) = view.next_page().await? {
            let places = page.iter().map(|letter| letter.address.place());
            there.extend(places.filter(|place| targets.contains_key(place)));
        }
        for (place, run) in targets {
            let is_there = there.binary_search(&place).is_ok();
            self.leave(missing(topic, place, run, is_there));
        }
        Ok(())
    }
}

fn missing(topic: &Topic, place: RecordPlace, run: Option<RunId>, is_there: bool) -> LeftLetter {
    let reason = match is_there {
        true => "another session has it in hand; run it again when that has ended",
        false => "it was replayed or discarded meanwhile",
    };
    let address = LetterAddress::new(topic.clone(), place);
    LeftLetter::new(address, run, reason.to_owned())
}
