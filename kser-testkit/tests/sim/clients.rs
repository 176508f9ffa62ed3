//! Who stands outside of a run: somebody who does a step, somebody who replays dead letters, and two who launch one id.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kser::backend::{Interest, Room, Ticket, Transport};
use kser::message::{Message, Topic};
use kser::run::RunId;
use kser::{Client, Context, Entrypoint, Error, Outcome, Step, TaskError};
use kser_testkit::faults::Fault;
use kser_testkit::{Effects, Faults, Guarantee, Run, Setup, Sim, World};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::any_single_at_first;
use crate::shop::{Checkout, STEPS, handlers};

/// Longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(100);

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Work")]
struct Work {}

fn setups() -> [Setup; 3] {
    [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ]
}

/// Consumers that work, unless they cannot, and a service that knows of it.
fn workers(world: &mut World, able: &Arc<AtomicBool>) -> Effects {
    let shop = world.effects("shop");
    let (at_the_shop, able) = (shop.clone(), Arc::clone(able));
    let work = move |ctx: Context, _: Work| {
        let (shop, able) = (at_the_shop.clone(), able.load(Ordering::Relaxed));
        async move {
            match able {
                true => shop.call("work").with_key(ctx.idempotency_key()).await,
                false => Err(TaskError::permanent("Strike", "nobody works")),
            }
        }
    };
    world.consumers(2).task(work);
    shop
}

fn is_done(run: &Run<'_, (RunId, Effects)>) {
    let (id, shop) = run.state;
    run.assert_succeeded(id);
    shop.assert_at_least_once(["work"]);
}

/// Does something again as long as the broker or the store does not answer.
async fn surely<Fut: Future<Output = Result<(), Error>>>(
    go: impl Fn() -> Fut,
) -> Result<(), Error> {
    loop {
        match go().await {
            Err(error) if error.is_temporary() => tokio::time::sleep(Duration::from_secs(1)).await,
            done => return done,
        }
    }
}

/// Takes what is asked for outside, and reports each, as a consumer of another language does; all of these texts.
async fn answer(kser: &Client, transport: &dyn Transport, texts: &[&str]) -> Result<(), Error> {
    let interest = Interest::group("outside", vec![Topic::new("outside")?]);
    let mut outside = transport.subscribe(interest).await?;
    while let Ok(received) = timeout(PATIENCE, outside.receive(Room::records(1))).await {
        for delivery in received? {
            let message = Message::decode(delivery.record.payload.as_deref().unwrap_or_default())?;
            for text in texts {
                let outcome = Outcome::text(*text);
                kser.producer().report(&message, &outcome).await?;
            }
            settle(delivery.ticket).await;
        }
    }
    outside.close().await
}

/// What is reported is not asked for again.
async fn settle(mut ticket: Ticket) {
    while let Err(refused) = ticket.settle(Vec::new()).await {
        ticket = refused.ticket;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn an_external_step_is_ended_whatever_goes_wrong() {
    for setup in setups() {
        // Without a store, a run is as reliable as those who report.
        let texts: &[&str] = match setup.guarantee {
            Guarantee::Stored => &["yes", "no"],
            _ => &["yes"],
        };
        let sim = Sim::new(move |world| {
            let shop = workers(world, &Arc::new(AtomicBool::new(true)));
            let external = Step::named("outside.Ask", &serde_json::json!({ "q": 1 }));
            let external = external.external(Duration::from_secs(3600));
            let steps = vec![Step::new(Work {}), external, Step::new(Work {})];
            let transport = Arc::new(OnceLock::new());
            let told = Arc::clone(&transport);
            world.wrap_clients(move |inner| {
                let _ = told.set(Arc::clone(&inner));
                inner
            });
            world.client(move |kser| async move {
                let transport = transport.get().expect("it is told before");
                surely(|| answer(&kser, &**transport, texts)).await
            });
            (world.launch_steps("shop.Job", steps), shop)
        });
        let sim = sim.on(setup).faults(any_single_at_first());
        let report = sim.check(is_done);
        assert!(report.runs > 100, "{report:?}");
    }
}

/// Replays what is given up, as long as something is. What a run does not allow any more is thrown away.
async fn replay(kser: &Client, able: &AtomicBool) -> Result<(), Error> {
    let mut letters = kser.dead_letters("shop").await?;
    let mut refused = false;
    // A letter that is not replayed comes again in the next session.
    while let Ok(letter) = timeout(PATIENCE, letters.next()).await {
        able.store(true, Ordering::Relaxed);
        let letter = letter?;
        if std::mem::take(&mut refused) {
            letter.discard().await?;
            continue;
        }
        match letter.replay().await {
            Err(error) if !error.is_temporary() => {
                refused = true;
                letters.close().await?;
                letters = kser.dead_letters("shop").await?;
            }
            replayed => replayed?,
        }
    }
    letters.close().await
}

#[test]
fn a_dead_letter_is_replayed_whatever_goes_wrong() {
    for setup in setups() {
        let sim = Sim::new(|world| {
            let able = Arc::new(AtomicBool::new(false));
            let shop = workers(world, &able);
            world.client(move |kser| async move { surely(|| replay(&kser, &able)).await });
            let steps = vec![Step::new(Work {}); 2];
            (world.launch_steps("shop.Job", steps), shop)
        });
        let sim = sim.on(setup).faults(Faults::any_single());
        let report = sim.check(is_done);
        assert!(report.runs > 60, "{report:?}");
    }
}

/// Replays all dead letters, as long as one comes. A dead letter that its run does not allow any more is discarded.
async fn replay_all(kser: &Client, able: &AtomicBool) -> Result<(), Error> {
    loop {
        let mut letters = kser.dead_letters("shop").await?;
        let first = timeout(PATIENCE, letters.next()).await;
        letters.close().await?;
        let Ok(first) = first else {
            return Ok(());
        };
        first?.keep();
        able.store(true, Ordering::Relaxed);
        let mut letters = kser.dead_letters("shop").await?;
        let report = letters.replay_all(|_| true).await?;
        letters.close().await?;
        let mut failed = report.failed.iter();
        if failed.any(|failed| !failed.error.is_temporary()) {
            let mut letters = kser.dead_letters("shop").await?;
            if let Some(letter) = letters.next_waiting().await? {
                letter.discard().await?;
            }
            letters.close().await?;
        }
    }
}

#[test]
fn all_dead_letters_are_replayed_through_crashes_and_outages() {
    let sim = Sim::new(|world| {
        let able = Arc::new(AtomicBool::new(false));
        let shop = workers(world, &able);
        world.client(move |kser| async move { surely(|| replay_all(&kser, &able)).await });
        (
            world.launch_steps("shop.Job", vec![Step::new(Work {})]),
            shop,
        )
    });
    let faults = Faults::single([Fault::CrashBefore, Fault::OutageFails, Fault::Unknown]);
    let report = sim.faults(faults.at_first(1)).check(is_done);
    assert!(report.runs > 20, "{report:?}");
}

/// With a store, an id is one run, whoever launches it and whenever.
#[test]
fn two_launches_of_one_id_are_one_run_whatever_goes_wrong() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, true);
        let run = world.launch(Checkout { order: 42 });
        let id = run.clone();
        world.client(|kser| async move {
            for _ in 0..2 {
                let launch = kser.producer().launch(Checkout { order: 42 });
                let again = launch.with_id(id.clone()).await?;
                again.wait().await?;
            }
            Ok(())
        });
        (run, shop)
    });
    let report = sim.faults(Faults::any_single()).check(|run| {
        let (checkout, shop) = run.state;
        run.assert_succeeded(checkout);
        shop.assert_exactly_once(STEPS);
        assert_eq!(run.runs().len(), 1, "one run");
    });
    assert!(report.runs > 200, "{report:?}");
}
