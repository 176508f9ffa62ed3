//! Scenarios that cannot work end at once, and say what is wrong and how to mend it.

use std::future::ready;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser::{Entrypoint, Step, TaskError};
use kser_testkit::faults::Fault;
use kser_testkit::{Faults, Sim, World};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Work")]
struct Work {}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Rest")]
struct Rest {}

fn launch(world: &mut World) {
    world.launch_steps("shop.Job", vec![Step::new(Work {})]);
}

/// What a simulation says that panics.
fn said(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(test).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn a_scenario_without_consumers_is_refused() {
    let said = said(|| drop(Sim::new(launch).try_check(|_| {})));
    assert!(said.contains("has no consumers"), "{said}");
}

#[test]
fn a_scenario_that_asks_for_nothing_is_refused() {
    let make = |world: &mut World| {
        world.consumers(1).task(|_: Work| async {});
    };
    let said = said(move || drop(Sim::new(make).try_check(|_| {})));
    assert!(said.contains("asks for nothing"), "{said}");
}

#[test]
fn a_scenario_in_which_no_handler_runs_is_caught() {
    let sim = Sim::new(|world| {
        world.consumers(1).task(|_: Rest| async {});
        world.send(Work {});
    });
    let failure = sim.heal_within(Duration::from_secs(7200)).try_check(|_| {});
    let failure = failure.unwrap_err();
    assert!(
        ["NothingRan", "Redelivery"].contains(&failure.invariant()),
        "{failure}"
    );
}

/// The consumer is refused at each start.
#[test]
fn a_consumer_without_topics_is_caught() {
    let sim = Sim::new(|world| {
        world.consumers(1);
        world.send(Work {});
    });
    let failure = sim.heal_within(Duration::from_secs(60)).try_check(|_| {});
    let failure = failure.unwrap_err();
    assert_eq!(failure.invariant(), "Terminal", "{failure}");
    let said = failure.to_string();
    assert!(said.contains("it has no topics: register a task"), "{said}");
}

#[test]
fn a_simulation_inside_a_runtime_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let said = said(|| {
        let _inside = runtime.enter();
        let _ = Sim::new(launch).try_check(|_| {});
    });
    assert!(said.contains("use it from a plain `#[test] fn`"), "{said}");
}

#[test]
fn a_run_of_another_version_is_refused() {
    let said = said(|| drop(Sim::new(launch).replay("v9 | | ").try_check(|_| {})));
    assert!(said.contains("make the failure again"), "{said}");
}

#[test]
fn a_handler_that_opens_a_socket_is_caught() {
    let sim = Sim::new(|world| {
        let dial = |_: Work| async {
            let dialled = tokio::net::TcpStream::connect("127.0.0.1:9").await;
            dialled
                .map(|_| ())
                .map_err(|error| TaskError::internal(error.to_string()))
        };
        world.consumers(1).task(dial);
        launch(world);
    });
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "NoRealWorld", "{failure}");
    assert!(
        failure.what().contains("Job#1/1.Work opens a socket"),
        "{failure}"
    );
}

#[test]
fn a_handler_that_waits_for_nothing_is_caught() {
    let sim = Sim::new(|world| {
        world
            .consumers(1)
            .task(|_: Work| std::future::pending::<()>());
        launch(world);
    });
    let sim = sim
        .heal_within(Duration::from_secs(60))
        .faults(Faults::any_single_crash());
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "Terminal", "{failure}");
    assert!(
        failure
            .what()
            .contains("Job#1/1.Work does not return: does it sleep for longer than `heal_within` (60s), or wait"),
        "{failure}"
    );
}

#[test]
fn a_handler_that_reads_the_real_time_is_caught() {
    let sim = Sim::new(|world| {
        let late = |_: Work| async {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is what a handler should not do"
            )]
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
            tokio::time::sleep(Duration::from_nanos(u64::from(since.subsec_nanos())) * 1000).await;
        };
        world.consumers(1).task(late);
        launch(world);
    });
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "Deterministic", "{failure}");
}

#[test]
fn a_handler_that_is_by_chance_the_same_twice_is_caught_in_a_later_run() {
    let runs = AtomicU32::new(0);
    let sim = Sim::new(move |world| {
        // The run in which nothing goes wrong is made twice.
        let otherwise = runs.fetch_add(1, Ordering::Relaxed) >= 2;
        let seconds = if otherwise { 2 } else { 1 };
        world
            .consumers(1)
            .task(move |_: Work| tokio::time::sleep(Duration::from_secs(seconds)));
        launch(world);
    });
    let sim = sim.faults(Faults::single([Fault::CrashBefore]));
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "Deterministic", "{failure}");
    let said = "before anything went wrong in it";
    assert!(failure.what().contains(said), "{failure}");
}

#[test]
fn a_fault_that_does_not_come_by_chance_is_told_as_chance() {
    let replayed = AtomicU32::new(0);
    let sim = Sim::new(move |world| {
        let run = replayed.fetch_add(1, Ordering::Relaxed);
        let work = move |_: Work| {
            // The usual run, and the one that is replayed, wait for nothing.
            let seconds = if run < 2 { 0 } else { 1 };
            tokio::time::sleep(Duration::from_secs(seconds))
        };
        world.consumers(1).task(work);
        launch(world);
    });
    let sim = sim.replay("v1 | crash before Job#1/1.Work/await/1 |");
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "Deterministic", "{failure}");
}

#[test]
fn an_effect_in_a_task_that_a_handler_spawns_is_told_as_that() {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        world.consumers(1).task(move |_: Work| {
            let shop = shop.clone();
            async move {
                let spawned = tokio::spawn(async move { shop.call("work").await });
                spawned
                    .await
                    .map_err(|error| TaskError::internal(error.to_string()))?
            }
        });
        launch(world);
    });
    let failure = sim.try_check(|_| {}).unwrap_err();
    assert_eq!(failure.invariant(), "EffectOnce", "{failure}");
    assert!(
        failure
            .what()
            .starts_with("shop.work is called outside a handler"),
        "{failure}"
    );
}

#[test]
fn a_run_that_is_not_there_or_ends_otherwise_is_told_in_words() {
    let said = |fails: bool, wanted: &'static str, id: &'static str| {
        let sim = Sim::new(move |world| {
            let broken = || TaskError::permanent("Broken", "for good");
            let work = move |_: Work| ready(if fails { Err(broken()) } else { Ok(()) });
            world.consumers(1).task(work);
            launch(world);
        });
        let failure = sim.try_check(|run| match wanted {
            "SUCCESS" => run.assert_succeeded(id),
            _ => run.assert_failed(id),
        });
        failure.unwrap_err().what().to_owned()
    };
    assert_eq!(
        said(false, "SUCCESS", "Job#2"),
        "there is no Job#2; there is Job#1"
    );
    assert_eq!(
        said(false, "FAILED", "Job#1"),
        "Job#1 is SUCCESS, and not FAILED"
    );
    let failed = said(true, "SUCCESS", "Job#1");
    assert!(
        failed.starts_with("Job#1 is FAILED, and not SUCCESS: "),
        "{failed}"
    );
}

#[test]
fn a_trace_says_where_a_record_is_and_who_died_with_it() {
    let sim = Sim::new(|world| {
        world.consumers(1).task(|_: Work| async {});
        launch(world);
    });
    let sim = sim.replay("v1 | crash after Job#1/1.Work/receive/1 | ");
    sim.check(|run| {
        let trace = run.trace().to_string();
        let again = "offset 0); a consumer died with it before";
        assert!(
            trace.contains("receives Job#1/1.Work (shop, partition "),
            "{trace}"
        );
        assert!(trace.contains(again), "{trace}");
    });
}
