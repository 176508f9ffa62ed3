//! What the README shows is what is seen.

use kser::{Entrypoint, Step, TaskError};
use kser_testkit::{Effects, Faults, Sim};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Checkout")]
struct Checkout {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Ship")]
struct Ship {}

async fn checkout(_: Checkout) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(Charge {}), Step::new(Ship {})])
}

async fn charge(bank: Effects, _: Charge) -> Result<(), TaskError> {
    bank.call("charge").await
}

#[test]
fn the_failure_of_the_readme_is_what_is_said() {
    let sim = Sim::new(|world| {
        let bank = world.effects("bank");
        let consumers = world.consumers(2).operation(checkout);
        consumers.task_with(bank, charge).task(|_: Ship| async {});
        world.launch(Checkout {})
    });
    let failure = sim.faults(Faults::any_single()).try_check(|_| {});
    let said = failure.unwrap_err().to_string();
    let said = said.replace(
        "readme::the_failure_of_the_readme_is_what_is_said",
        "a_card_is_charged_once",
    );
    let readme = include_str!("../../README.md");
    let (_, shown) = readme.split_once("```text\ninvariant").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let shown = format!("invariant{shown}");
    let mut rest = said.as_str();
    // Nothing is kept here.
    let lines = shown.lines().filter(|line| !line.starts_with("kept in"));
    for line in lines.filter(|line| line.trim() != "...") {
        let found = rest.split_once(line);
        let (_, behind) = found.unwrap_or_else(|| panic!("it does not say:\n{line}\n{said}"));
        rest = behind;
    }
}

#[test]
fn the_test_of_the_readme_is_the_one_that_runs_here() {
    let test = include_str!("checkout.rs");
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("```rust\n{test}```\n")));
}
