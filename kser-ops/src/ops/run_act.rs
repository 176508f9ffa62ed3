use kser::Error;
use kser::run::{RunId, Runs};

use crate::error::OpsError;
use crate::ops::Ops;
use crate::ops::act_report::ActReport;
use crate::ops::brake::Brake;
use crate::ops::pace::Pace;
use crate::ops::run_plan::{LeftRun, RunAct, RunPlan, Target};

impl Ops {
    /// Carries a plan out, in its order. `actor` and `reason` are kept with the attempts of each run, unless it is purged. `tell` is
    /// called after each run.
    ///
    /// A run that has changed since is left if the rules refuse the act now. An act that is killed has been on the runs that it has
    /// counted: make a plan again, and go on.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without a store. A store that fails later is in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the other runs. The act on the run in hand may be done or not.
    pub async fn act_on_runs(
        &self,
        plan: &RunPlan,
        (actor, reason): (&str, &str),
        pace: &Pace,
        mut tell: impl FnMut(&ActReport<LeftRun>) + Send,
    ) -> Result<ActReport<LeftRun>, OpsError> {
        let runs = self.store_runs("an act on runs")?.by(actor, reason);
        let follows = !matches!(plan.act, RunAct::Cancel | RunAct::Purge);
        let mut brake = Brake::new(self, pace);
        let mut report = ActReport::default();
        for (id, target) in &plan.targets {
            if report.stopped.is_some() {
                report.not_tried += 1;
                continue;
            }
            brake.turn().await;
            match act(&runs, id, target).await {
                Ok(()) => {
                    report.done += 1;
                    if follows {
                        brake.add(Some(id.clone()));
                    }
                }
                Err(error) if error.is_temporary() => {
                    report.not_tried += 1;
                    report.stopped = Some(error.report());
                }
                Err(error) => report.leave(LeftRun::new(id.clone(), &error)),
            }
            report.ends = brake.ends();
            tell(&report);
            if follows && report.stopped.is_none() {
                let done = report.done;
                let stopped = brake.check(done, |ends| {
                    report.ends = ends;
                    tell(&report);
                });
                report.stopped = stopped.await;
            }
        }
        let ends = brake.finish(|ends| {
            report.ends = ends;
            tell(&report);
        });
        report.ends = ends.await;
        Ok(report)
    }
}

async fn act(runs: &Runs, id: &RunId, target: &Target) -> Result<(), Error> {
    match target {
        Target::Verb(verb) => runs.act(id, verb).await,
        Target::Purge => match runs.purge(id).await? {
            true => Ok(()),
            false => Err(Error::UnknownRun { id: id.clone() }),
        },
    }
}
