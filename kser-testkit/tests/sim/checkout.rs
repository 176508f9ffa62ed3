use kser::{Context, Entrypoint, Step, TaskError};
use kser_testkit::{Effects, Faults, Sim};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    cents: u32,
}
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Ship")]
struct Ship {
    order: u32,
}
async fn charge(bank: Effects, ctx: Context, _: Charge) -> Result<(), TaskError> {
    bank.call("charge").with_key(ctx.idempotency_key()).await
}

async fn ship(_: Ship) -> String {
    "on its way".into()
}

// A plain test, and no `tokio::test`: the simulation makes its own runtimes.
#[test]
fn a_card_is_charged_once() {
    let sim = Sim::new(|world| {
        let bank = world.effects("bank");
        let at_the_bank = bank.clone();
        let charge = move |ctx: Context, params: Charge| charge(at_the_bank.clone(), ctx, params);
        world.consumers(2).task(charge).task(ship);
        let steps = vec![
            Step::new(Charge { cents: 100 }),
            Step::new(Ship { order: 7 }),
        ];
        (world.launch_steps("shop.Checkout", steps), bank)
    });
    sim.faults(Faults::any_single()).check(|run| {
        let (checkout, bank) = run.state;
        run.assert_succeeded(checkout);
        bank.assert_exactly_once(["charge"]);
    });
}
