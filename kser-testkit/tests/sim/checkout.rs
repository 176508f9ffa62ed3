use kser::{Context, Entrypoint, Step, TaskError};
use kser_testkit::{Effects, Faults, Sim};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Checkout")]
struct Checkout {
    order: u32,
    cents: u32,
}
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

async fn checkout(Checkout { order, cents }: Checkout) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(Charge { cents }), Step::new(Ship { order })])
}

// The bank is the state of the task. In the program it is a client of the bank, here it is one that records the calls.
#[kser::task]
async fn charge<B: Bank>(bank: B, ctx: Context, charge: Charge) -> Result<(), TaskError> {
    bank.charge(charge.cents, ctx.idempotency_key()).await
}

#[kser::task]
async fn ship(ship: Ship) -> String {
    format!("order {} is on its way", ship.order)
}

trait Bank: Clone + Send + Sync + 'static {
    fn charge(&self, cents: u32, key: &str) -> impl Future<Output = Result<(), TaskError>> + Send;
}

impl Bank for Effects {
    async fn charge(&self, _: u32, key: &str) -> Result<(), TaskError> {
        self.call("charge").with_key(key).await
    }
}

// A plain test, and no `tokio::test`: the simulation makes its own runtimes.
#[test]
fn a_card_is_charged_once() {
    let sim = Sim::new(|world| {
        let bank = world.effects("bank");
        let consumers = world.consumers(2).operation(checkout);
        consumers
            .task_with(bank.clone(), charge::<Effects>)
            .task(ship);
        let order = Checkout {
            order: 7,
            cents: 995,
        };
        (world.launch(order), bank)
    });
    sim.faults(Faults::any_single()).check(|run| {
        let (checkout, bank) = run.state;
        run.assert_succeeded(checkout);
        bank.assert_exactly_once(["charge"]);
    });
}
