use std::time::Duration;

use kser::Status;
use kser_testkit::Sim;

use crate::shop::{Checkout, STEPS, handlers};

#[test]
fn a_run_is_led_step_by_step() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        handlers(world.consumers(1), &shop, true);
        (world.launch(Checkout { order: 7 }), shop)
    });
    let mut run = sim.by_hand();
    let (checkout, shop) = run.state().clone();
    assert!(run.step().contains("c1       starts"));

    run.run_until("does shop.charge");
    let waiting = run.messages("shop");
    // The record of the first step, under which the consumer runs the next one, too.
    assert_eq!(waiting[0].entrypoint.as_str(), "shop.Reserve");
    assert_eq!(run.run().status(&checkout), Some(Status::Running));

    run.crash("c1");
    run.pass(Duration::from_secs(60));
    assert_eq!(
        run.run().status(&checkout),
        Some(Status::Running),
        "nobody is there"
    );
    assert!(run.run().virtual_elapsed() >= Duration::from_secs(60));

    run.restart("c1");
    run.finish();
    run.run().assert_succeeded(&checkout);
    shop.assert_exactly_once(STEPS);
    assert!(
        run.run()
            .trace()
            .has("does shop.charge, which was done before")
    );
}
