//! An order: a card is charged, a person approves, a parcel is sent. The handlers hold a database, the receipt of one
//! step is forwarded to the next, a call to a busy bank is retried, a missing address is corrected, and the run resumes
//! where it failed. With the feature `sqlite` the run outlives the program: kill it at any time, and start it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kser::{
    Client, Context, Entrypoint, IntoTask, Json, Operation, Outcome, Registry, RetryPolicy, Status,
    Step, Task, TaskError,
};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        struct $name {
            order: u32,
        }
    };
}

entrypoint!(Checkout, "shop.Checkout");
entrypoint!(Charge, "shop.Charge");
entrypoint!(Approve, "office.Approve");
entrypoint!(Ship, "warehouse.Ship");

/// The receipt of the bank.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    cents: u64,
}

/// A stand-in for a database pool: cheap to clone, shared by all handlers.
#[derive(Debug, Clone, Default)]
struct Database(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    addresses: BTreeMap<u32, String>,
    /// The receipts by idempotency key, so that a step that runs twice charges once.
    charges: BTreeMap<String, u64>,
}

impl Database {
    fn with<T>(&self, f: impl FnOnce(&mut Tables) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Builds the steps of an order.
struct Checkouts;

impl Operation for Checkouts {
    type Params = Checkout;

    async fn build_tasks(&self, _: &Context, checkout: Checkout) -> Result<Vec<Step>, TaskError> {
        let order = checkout.order;
        let a_day = Duration::from_secs(24 * 3600);
        Ok(vec![
            Step::new(Charge { order }),
            Step::new(Approve { order }).external(a_day),
            Step::new(Ship { order }),
        ])
    }
}

/// Charges cards, at a bank that is busy at first.
struct Cashier {
    db: Database,
}

impl Task for Cashier {
    type Params = Charge;
    type Output = Json<Receipt>;

    async fn run(&self, ctx: &Context, charge: Charge) -> Result<Json<Receipt>, TaskError> {
        if ctx.attempt() == 1 {
            return Err(TaskError::new("Busy", "the bank is busy").with_code(503));
        }
        let cents = 100 * u64::from(charge.order);
        let key = ctx.idempotency_key().to_owned();
        self.db
            .with(|tables| *tables.charges.entry(key).or_insert(cents));
        Ok(Json(Receipt { cents }))
    }
}

/// Sends parcels.
struct Courier {
    db: Database,
}

impl Task for Courier {
    type Params = Ship;
    type Output = String;

    async fn run(&self, ctx: &Context, ship: Ship) -> Result<String, TaskError> {
        let receipt: Receipt = ctx.previous_as()?;
        let address = self
            .db
            .with(|tables| tables.addresses.get(&ship.order).cloned());
        let missing = || TaskError::new("NoAddress", "the customer has no address").with_code(422);
        let address = address.ok_or_else(missing)?;
        Ok(format!("worth {} cents, sent to {address}", receipt.cents))
    }
}

/// Returns the handlers of the shop.
fn shop(db: &Database) -> Result<Registry, kser::Error> {
    let retry = RetryPolicy::exponential(3, Duration::from_millis(100));
    let cashier = Cashier { db: db.clone() };
    Registry::new()
        .operation(Checkouts)
        .task(cashier.with_retry(retry))
        .build()
}

/// Returns the handlers of the warehouse.
fn warehouse(db: &Database) -> Result<Registry, kser::Error> {
    Registry::new().task(Courier { db: db.clone() }).build()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    kser_examples::show_log();
    let kser = Client::builder_from_url(kser_examples::url())
        .store_from_url(kser_examples::store_url())
        .build()
        .await?;
    let db = Database::default();
    // A consumer with a name takes over at once from its earlier life, if that was killed.
    let shop = kser.consumer(shop(&db)?).with_instance("shop").spawn();
    let warehouse = kser.consumer(warehouse(&db)?);
    let warehouse = warehouse.with_instance("warehouse").spawn();

    // A program that is started again finds the run that it has launched.
    let checkout = kser.producer().launch(Checkout { order: 42 });
    let run = checkout
        .with_id("order-42")
        .with_metadata("tenant", "acme")
        .await?;

    // A person looks at the order and approves: the step of the run is known by its id.
    while run.status().await?.position < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if run.status().await?.position == 2 {
        let approval = Outcome::text("approved by the owner");
        kser.runs()
            .report(run.id(), &run.id().step(2), approval)
            .await?;
    }

    let state = run.wait().await?;
    if state.status == Status::Failed {
        println!("{}: {}", state.status, state.outcome.error_message());
        // The address is corrected, and the run resumes where it failed: the card is not charged again.
        db.with(|tables| tables.addresses.insert(42, "Elm Street 1".to_owned()));
        run.resume().await?;
    }
    println!("{}", run.result().await?.message());
    assert!(db.with(|tables| tables.charges.len()) <= 1);

    for attempt in kser.runs().all_attempts(run.id()).await? {
        let (step, number) = (attempt.position, attempt.attempt);
        println!(
            "step {step} attempt {number}: {} {}",
            attempt.status, attempt.entrypoint
        );
    }
    shop.stop().await?;
    warehouse.stop().await?;
    println!("{}", run.status().await?.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use kser::Error;
    use kser::run::RunId;
    use kser_testkit::{Faults, Sim};

    use super::*;

    /// Approves orders, as the person at the desk does, with patience.
    async fn desk(kser: Client, run: RunId, db: Database) -> Result<(), Error> {
        while kser.runs().status(&run).await?.position < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let approval = Outcome::text("approved by the owner");
        kser.runs().report(&run, &run.step(2), approval).await?;
        kser.runs().wait(&run).await?;
        db.with(|tables| tables.addresses.insert(42, "Elm Street 1".to_owned()));
        kser.runs().resume(&run).await?;
        kser.runs().wait(&run).await.map(|_| ())
    }

    #[test]
    fn a_checkout_survives_any_single_crash() {
        let sim = Sim::new(|world| {
            let db = Database::default();
            world.consumers(2).registry(shop(&db).unwrap());
            world.consumers(1).registry(warehouse(&db).unwrap());
            let run = world.launch(Checkout { order: 42 });
            let (at_the_desk, tables) = (run.clone(), db.clone());
            world.client(|kser| desk(kser, at_the_desk, tables));
            (run, db)
        });
        sim.faults(Faults::any_single_crash()).check(|run| {
            let (checkout, db) = run.state;
            run.assert_succeeded(checkout);
            assert_eq!(db.with(|tables| tables.charges.len()), 1, "charged once");
        });
    }
}
