//! The suites can fail: for each rule there is a backend that breaks it, and the rule notices.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod inspect;
mod member;
mod presence;
mod store;
mod stores;
mod ticket;
mod transport;
mod transports;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kser_testkit::rules::Rule;
use kser_testkit::run_paused;

/// Breaks a backend in each way of a table of flaws and the rules that they break.
fn check<H, F>(rules: &[Rule<H>], table: &[(F, &str)], sound: F, make: fn(F) -> H)
where
    F: Copy + std::fmt::Debug,
{
    let mut tested = BTreeSet::new();
    let mut unnoticed = Vec::new();
    for (flaw, name) in table {
        let rule = rules.iter().find(|rule| rule.name == *name);
        let rule = rule.unwrap_or_else(|| panic!("there is no rule {name}"));
        let caught = catch_unwind(AssertUnwindSafe(|| run(rule, *flaw, make))).is_err();
        if !caught {
            unnoticed.push((flaw, name));
        }
        tested.insert(*name);
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
    for rule in rules {
        assert!(tested.contains(rule.name), "no backend breaks {rule:?}");
        run(rule, sound, make);
    }
}

fn run<H, F>(rule: &Rule<H>, flaw: F, make: fn(F) -> H) {
    run_paused(rule.name, rule.sentence, async {
        (rule.test)(&make(flaw)).await;
    });
}
