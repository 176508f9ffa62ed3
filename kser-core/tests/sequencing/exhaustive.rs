//! All histories of an operation of three steps, up to a length.

use std::collections::BTreeSet;

use crate::act::Act;
use crate::world::World;

/// How many acts long the histories are.
const LENGTH: usize = 10;

#[test]
fn all_histories_of_three_steps_keep_the_rules() {
    let mut worlds = vec![World::new(&[false, true, false])];
    let mut seen = BTreeSet::new();
    let mut histories = 0_usize;
    for _ in 0..LENGTH {
        let mut next = Vec::new();
        for world in &worlds {
            for act in world
                .enabled()
                .into_iter()
                .filter(|act| sensible(world, *act))
            {
                let mut world = world.clone();
                world.act(act);
                histories += 1;
                if seen.insert(world.shape()) {
                    next.push(world);
                }
            }
        }
        worlds = next;
    }
    for world in &mut worlds {
        world.heal();
    }
    println!("{histories} transitions, {} different worlds", seen.len());
    assert!(seen.len() > 30_000, "{} worlds", seen.len());
}

/// Leaves out what only makes more of the same: a third record of one step on its way.
fn sensible(world: &World, act: Act) -> bool {
    let many = world.records.len() > 3;
    !(many
        && matches!(
            act,
            Act::Deliver {
                duplicate: true,
                ..
            } | Act::Sweep { crash: false }
        ))
}
