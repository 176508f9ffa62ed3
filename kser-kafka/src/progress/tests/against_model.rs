//! Random and exhaustive sequences of events of a partition, compared with a naive model.

use proptest::prelude::*;

use super::model::{Action, Fate, World};
use super::*;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![1 => Just(Fate::Lost), 1 => Just(Fate::Durable), 4 => Just(Fate::Confirmed)]
}

fn action() -> impl Strategy<Value = Action> {
    let pick = || 0..1_000_usize;
    let gap = prop_oneof![4 => Just(0), 1 => 1..4_i64, 1 => 50..300_i64];
    prop_oneof![
        2 => (1..20_usize, gap).prop_map(|(n, gap)| Action::Publish(n, gap)),
        4 => (1..30_usize).prop_map(Action::Receive),
        1 => pick().prop_map(Action::ReceiveAgain),
        3 => (1..20_usize).prop_map(Action::Run),
        3 => (0..6_usize).prop_map(Action::Begin),
        2 => (0..6_usize).prop_map(Action::Release),
        8 => pick().prop_map(Action::Done),
        5 => fate().prop_map(Action::Commit),
        1 => fate().prop_map(Action::LeaveGracefully),
        2 => Just(Action::Crash),
        2 => Just(Action::LoseAndRegain),
        1 => Just(Action::CrashThenLogEnd),
    ]
}

/// Makes sequences with many records that end out of order.
fn crowded() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => Just(Action::Publish(400, 0)),
        2 => Just(Action::Receive(400)),
        4 => (0..4_000_usize).prop_map(Action::Done),
        2 => (2..9_usize).prop_map(Action::DoneEach),
        2 => fate().prop_map(Action::Commit),
        1 => Just(Action::Crash),
    ]
}

fn holds(budget: usize, actions: impl IntoIterator<Item = Action>) {
    let mut world = World::new(budget);
    actions.into_iter().for_each(|action| world.act(action));
    world.finish();
}

/// Makes three records after this many crashes of their owners.
fn died_with(deaths: usize) -> impl Iterator<Item = Action> {
    let died = [
        Action::Receive(3),
        Action::Run(3),
        Action::Commit(Fate::Confirmed),
        Action::Crash,
    ];
    iter::once(Action::Publish(3, 1)).chain(died.repeat(deaths))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_is_accounted_for(deaths in 0..4_usize, actions in prop::collection::vec(action(), 1..80)) {
        holds(4096, died_with(deaths).chain(actions));
    }

    #[test]
    fn any_text_is_read_without_a_panic_and_says_nothing(offset: i64, text in "\\PC{0,200}") {
        let found = PartitionProgress::take_over(Some(offset), &text, WriterId::new(), MetadataBudget::default());
        prop_assert_eq!((found.next(), found.n_suspects()), (Some(offset), 0));
        prop_assert!(found.done_ahead.is_empty());
    }

    #[test]
    fn one_changed_letter_makes_a_text_say_nothing(done in prop::collection::vec(1..200_i64, 1..40), at: prop::sample::Index, letter in "[A-Za-z0-9+/]") {
        let mut progress = start();
        delivered(&mut progress, 0..200);
        done.into_iter().for_each(|offset| progress.mark_done(offset));
        let commit = confirm(&mut progress);
        let at = at.index(commit.metadata.len());
        let mut metadata = commit.metadata.clone();
        metadata.replace_range(at..=at, &letter);
        prop_assume!(metadata != commit.metadata);
        let mut successor = succeed(&Commit { metadata, ..commit });
        prop_assert!(successor.done_ahead.is_empty());
        prop_assert_eq!(successor.receive(0), Some(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_map_that_overflows_loses_nothing(actions in prop::collection::vec(crowded(), 1..60)) {
        holds(MetadataBudget::SMALLEST, actions);
    }
}

/// Checks all sequences of four events for three records after no, one or two crashes of their owners.
#[test]
fn every_short_story_is_accounted_for() {
    let all = [
        Action::Receive(3),
        Action::Run(3),
        Action::Begin(0),
        Action::Begin(1),
        Action::Release(0),
        Action::Done(0),
        Action::Done(1),
        Action::Commit(Fate::Lost),
        Action::Commit(Fate::Durable),
        Action::Commit(Fate::Confirmed),
        Action::LeaveGracefully(Fate::Confirmed),
        Action::LoseAndRegain,
        Action::Crash,
    ];
    for deaths in 0..3 {
        for story in 0..all.len().pow(4) {
            let told = (0..4).map(|turn| all[story / all.len().pow(turn) % all.len()]);
            holds(4096, died_with(deaths).chain(told));
        }
    }
}
