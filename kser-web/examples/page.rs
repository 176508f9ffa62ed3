//! Shows the page over an installation in memory: `cargo run -p kser-web --example page`, and open the address that it prints.

use std::time::Duration;

use kser::{Client, Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use kser_ops::Ops;
use kser_web::{Gate, WebOptions};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Reserve")]
struct Reserve {
    order: u32,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    order: u32,
    token: String,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Ship")]
struct Ship {
    order: u32,
}

async fn reserve(reserve: Reserve) -> Result<String, TaskError> {
    tokio::time::sleep(Duration::from_millis(40)).await;
    Ok(format!("order {} has its parts", reserve.order))
}

async fn charge(charge: Charge) -> Result<String, TaskError> {
    tokio::time::sleep(Duration::from_millis(250)).await;
    match charge.order % 3 {
        0 => Err(TaskError::temporary(
            "Bank",
            "ERR-29885 connection refused (os error 111)",
        )),
        _ => Ok(format!("order {} is paid", charge.order)),
    }
}

async fn ship(ship: Ship) -> Result<String, TaskError> {
    tokio::time::sleep(Duration::from_secs(u64::from(ship.order) * 2)).await;
    Ok("shipped to Elm Street 1".to_owned())
}

async fn fill(kser: &Client) -> Result<(), kser::Error> {
    for order in 1..=12 {
        let token = "4242-4242".to_owned();
        let steps = vec![
            Step::new(Reserve { order }),
            Step::new(Charge { order, token }),
            Step::new(Ship { order }),
        ];
        let launch = kser.producer().launch_steps("shop.Order", steps);
        launch.with_id(format!("order-{order}")).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kser = kser::connect_with_store("memory://", "memory://").await?;
    let charge = charge.with_retry(RetryPolicy::exponential(3, Duration::from_secs(1)));
    let registry = Registry::new().task(reserve).task(charge).task(ship);
    let consumer = kser.consumer(registry.build()?).spawn();
    fill(&kser).await?;

    let listener = TcpListener::bind("127.0.0.1:8790").await?;
    let address = listener.local_addr()?;
    let gate = Gate::one_time("you", move |token| {
        println!("http://{address}/?token={token}")
    })?;
    let pages = kser_web::router(Ops::new(kser), WebOptions::new(gate));
    axum::serve(listener, pages).await?;
    consumer.stop().await?;
    Ok(())
}
