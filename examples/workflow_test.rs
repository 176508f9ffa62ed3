//! A test of an operation: the production path, in one process, on paused time.

use std::time::Duration;

use kser::{Context, Entrypoint, Json, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("sums.Add")]
struct Add {
    n: i64,
}

/// Adds to the sum of the step before. The first attempt fails, as in bad weather.
async fn add(ctx: Context, add: Add) -> Result<Json<Add>, TaskError> {
    if ctx.attempt() == 1 {
        return Err(TaskError::temporary("Weather", "try again in a minute"));
    }
    let before = ctx.previous_as().unwrap_or(Add { n: 0 });
    Ok(Json(Add {
        n: before.n + add.n,
    }))
}

/// The test: under 20 lines, and no broker, no mock and no waiting.
async fn adds_up() -> Result<(), kser::Error> {
    let kser = kser::connect("memory://").await?;
    let consumer = kser.consumer(Registry::new().task(add).build()?).spawn();
    let steps = vec![Step::new(Add { n: 40 }), Step::new(Add { n: 2 })];
    let run = kser.producer().launch_steps("sums.Sum", steps).await?;
    let state = run.wait_timeout(Duration::from_secs(60)).await?;
    assert_eq!(state.into_result()?.data_as::<Add>()?.n, 42);
    consumer.stop().await
}

/// In a program of yours: `#[tokio::test(start_paused = true)] async fn adds_up() ...`, and no `main`.
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), kser::Error> {
    adds_up().await?;
    println!("the operation adds up");
    Ok(())
}

#[cfg(test)]
mod tests {
    use kser_testkit::{Faults, Sim};

    use super::*;

    /// The same operation, with something else going wrong in each run: it adds up every time.
    #[test]
    fn it_adds_up_whatever_goes_wrong() {
        let sim = Sim::new(|world| {
            world.consumers(2).task(add);
            let steps = vec![Step::new(Add { n: 40 }), Step::new(Add { n: 2 })];
            world.launch_steps("sums.Sum", steps)
        });
        sim.faults(Faults::any_single()).check(|run| {
            run.assert_succeeded(run.state);
            let sum: Add = run.outcome(run.state).data_as().unwrap();
            assert_eq!(sum.n, 42);
        });
    }
}
