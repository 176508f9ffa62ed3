//! The pages of kser-web in a real browser, over an installation with runs that fail.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod access;
mod acts;
mod live;
mod looks;
mod paint;
mod picture;
mod server;
mod shop;

use kser_ops::Ops;
use kser_web::{Access, Gate, WebOptions};

use self::server::Server;
use self::shop::Shop;

/// Lets everybody in as `oncall`, with all rights.
fn open() -> WebOptions {
    WebOptions::new(Gate::program(|_| Access::Act("oncall".to_owned()))).with_name("shop")
}

/// Shows a shop.
async fn show(shop: &Shop, options: WebOptions) -> Server {
    Server::start(kser_web::router(Ops::new(shop.client.clone()), options)).await
}
