//! What the broken ones are tried with: three steps of `shop.Step`, and lone tasks.

use kser::{Context, Entrypoint, Step, TaskError};
use kser_testkit::{Consumers, Effects, Failure, Faults, Report, Setup, Sim, World};
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Work")]
pub(crate) struct Work {
    pub(crate) number: u32,
}

/// A task that does nothing but to call a service, with its key, and to say its number.
pub(crate) async fn work(shop: Effects, ctx: Context, work: Work) -> Result<String, TaskError> {
    shop.call("work").with_key(ctx.idempotency_key()).await?;
    Ok(work.number.to_string())
}

/// Two consumers that do the work.
pub(crate) fn workers(world: &mut World) -> Consumers<'_> {
    let shop = world.effects("shop");
    world
        .consumers(2)
        .task(move |ctx: Context, params: Work| work(shop.clone(), ctx, params))
}

/// An operation of three steps.
pub(crate) fn launch(world: &mut World) {
    let steps = (1..=3).map(|number| Step::new(Work { number }));
    world.launch_steps("shop.Job", steps.collect());
}

/// Tasks of one key.
pub(crate) fn send(world: &mut World) {
    for number in 1..=3 {
        world.send_with_key(Work { number }, "one key");
    }
}

/// Tries broken consumers, first with nothing that goes wrong and then with every fault.
pub(crate) fn tried(
    setup: Setup,
    make: impl Fn(&mut World) + 'static,
) -> Result<Report, Box<Failure>> {
    Sim::new(make)
        .heal_within(Duration::from_secs(300))
        .on(setup)
        .faults(Faults::any_single())
        .try_check(|_| {})
}

/// Says which invariant is broken.
#[track_caller]
pub(crate) fn caught(setup: Setup, make: impl Fn(&mut World) + 'static) -> &'static str {
    match tried(setup, make) {
        Ok(report) => panic!("nothing was noticed: {report:?}"),
        Err(failure) => {
            println!("{failure}");
            failure.invariant()
        }
    }
}
