//! A shop: an order is reserved, charged and sent.

use kser::{Context, Entrypoint, Step, TaskError};
use kser_testkit::{Consumers, Effects};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        pub(crate) struct $name {
            pub(crate) order: u32,
        }
    };
}

entrypoint!(Checkout, "shop.Checkout");
entrypoint!(Pickup, "shop.Pickup");
entrypoint!(Reserve, "shop.Reserve");
entrypoint!(Charge, "shop.Charge");
entrypoint!(Ship, "shop.Ship");

pub(crate) const STEPS: [&str; 3] = ["reserve", "charge", "ship"];

async fn checkout(checkout: Checkout) -> Result<Vec<Step>, TaskError> {
    let order = checkout.order;
    Ok(vec![
        Step::new(Reserve { order }),
        Step::new(Charge { order }),
        Step::new(Ship { order }),
    ])
}

/// An order that is paid already.
async fn pickup(pickup: Pickup) -> Result<Vec<Step>, TaskError> {
    let order = pickup.order;
    Ok(vec![
        Step::new(Reserve { order }),
        Step::new(Ship { order }),
    ])
}

/// Gives consumers the handlers of a shop. They use their idempotency key, or forget it.
pub(crate) fn handlers(consumers: Consumers<'_>, shop: &Effects, with_key: bool) {
    let (reserve, charge, ship) = (shop.clone(), shop.clone(), shop.clone());
    let go = move |shop: Effects, what: &'static str, ctx: Context| async move {
        let call = shop.call(what);
        match with_key {
            true => call.with_key(ctx.idempotency_key()).await?,
            false => call.await?,
        }
        Ok::<_, TaskError>(what.to_owned())
    };
    consumers
        .operation(checkout)
        .operation(pickup)
        .task(move |ctx: Context, _: Reserve| go(reserve.clone(), "reserve", ctx))
        .task(move |ctx: Context, _: Charge| go(charge.clone(), "charge", ctx))
        .task(move |ctx: Context, _: Ship| go(ship.clone(), "ship", ctx));
}
