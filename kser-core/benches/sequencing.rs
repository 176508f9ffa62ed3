//! What the rules and a carried plan cost.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use kser_core::sequencing::{Event, Plan, Progress, StepWindow, apply, carried};
use kser_core::{Outcome, RunId, Step, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Roll {
    sides: u8,
}

impl kser_core::Entrypoint for Roll {
    const PATH: &'static str = "dice.DiceRoll";
}

fn plan(steps: usize) -> Plan {
    let steps = vec![Step::new(Roll { sides: 6 }); steps];
    Plan::of("run-1".into(), "dice.DiceLaunch".into(), steps).expect("it is a plan")
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start and end of a step, in a plan of");
    for steps in [3, 10_000] {
        let plan = plan(steps);
        let steps = u32::try_from(steps).expect("it fits");
        let now = Timestamp::from_millis(1);
        let progress = Progress::forked(steps, 1, Outcome::default(), now);
        let window = StepWindow {
            current: plan.steps().first(),
            following: plan.steps().get(1),
        };
        let step = plan.steps()[0].key.clone();
        group.bench_function(BenchmarkId::from_parameter(steps), |bencher| {
            bencher.iter(|| {
                let started = Event::Started {
                    step: step.clone(),
                    lease: None,
                    alone: false,
                    seen: 1,
                };
                let started = apply(&progress, window, started, now);
                let started = started.expect("it may start").progress;
                let ended = Event::Ended {
                    step: plan.steps()[0].key.clone(),
                    attempt: 1,
                    outcome: Outcome::text("You made a 4"),
                    retry_at: None,
                };
                apply(black_box(&started), window, ended, now)
            });
        });
    }
    group.finish();
}

fn hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("carried hop, steps to come");
    let run = RunId::from("run-1");
    for steps in [1, 40, 256] {
        let plan = plan(steps);
        let text = carried::encode(&run, plan.steps());
        println!("{steps} steps to come are {} bytes", text.as_str().len());
        group.bench_function(BenchmarkId::from_parameter(steps), |bencher| {
            bencher.iter(|| carried::split(black_box(&text), &run, 1));
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let steps = vec![Step::new(Roll { sides: 6 }); 100_000];
    criterion.bench_function("plan of 100,000 steps", |bencher| {
        bencher.iter_batched(
            || steps.clone(),
            |steps| Plan::of("run-1".into(), "dice.DiceLaunch".into(), steps),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, rules, hops, plans);
criterion_main!(benches);
