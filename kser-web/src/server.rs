use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use kser_ops::Ops;
use tokio::net::TcpListener;

use crate::access::gate::Gate;
use crate::live::stop::StreamsEnd;
use crate::options::WebOptions;
use crate::router::router;

/// The time that open requests have after the end of the streams.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reason why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can be reached from other machines, and nothing says who may come in.
    #[error(
        "{address} can be reached from other machines, where a one-time link in a terminal is no guard: give a token, or the header of a proxy"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// Listening or serving failed.
    #[error("serving the page failed")]
    Io(#[from] io::Error),
}

/// Serves the pages until `stop` is ready, under their path prefix and, for a proxy that takes the prefix away, at `/`. The streams of
/// browsers end first; requests that are open have five seconds.
///
/// # Errors
///
/// [`ServeError::Open`] for an address that other machines reach with a gate of one-time tokens. [`ServeError::Io`] when the address
/// of the listener cannot be told, or serving fails.
pub async fn serve(
    listener: TcpListener,
    ops: Ops,
    options: WebOptions,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    check(listener.local_addr()?, options.gate())?;
    let root = options.links().root();
    let end = StreamsEnd::new();
    let pages = router(ops, options.with_streams_end(&end));
    let pages = match root.as_str() {
        "/" => pages,
        prefix => {
            let slash = format!("{prefix}/");
            let to = root.clone();
            let over = get(|| async move { Redirect::permanent(&to) });
            Router::new()
                .route(&slash, over)
                .nest(prefix, pages.clone())
                .merge(pages)
        }
    };
    let (stopped, has_stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        end.now();
        let _ = stopped.send(());
    };
    let served = axum::serve(listener, pages).with_graceful_shutdown(stop);
    tokio::select! {
        served = async { served.await } => Ok(served?),
        () = late(has_stopped) => Ok(()),
    }
}

/// Waits until a server that was stopped has had its time.
async fn late(stopped: tokio::sync::oneshot::Receiver<()>) {
    match stopped.await {
        Ok(()) => tokio::time::sleep(PATIENCE).await,
        // The server has ended by itself.
        Err(_) => std::future::pending().await,
    }
}

/// Refuses an address that other machines reach with a gate for the person at this one.
fn check(address: SocketAddr, gate: &Gate) -> Result<(), ServeError> {
    match address.ip().is_loopback() || !gate.is_one_time() {
        true => Ok(()),
        false => Err(ServeError::Open { address }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_needs_more_than_a_link() {
        let public: SocketAddr = "0.0.0.0:8790".parse().unwrap();
        let own: SocketAddr = "127.0.0.1:8790".parse().unwrap();
        let link = Gate::one_time("oncall", |_| {}).unwrap();
        assert!(check(own, &link).is_ok());
        let refused = check(public, &link).unwrap_err().to_string();
        assert!(refused.contains("0.0.0.0:8790 can be reached"), "{refused}");
        assert!(check(public, &Gate::token("ci", "0123456789abcdef").unwrap()).is_ok());
        assert!(check(public, &Gate::header("x-forwarded-user").unwrap()).is_ok());
        assert!(check("[::]:80".parse().unwrap(), &link).is_err());
        assert!(check("[::1]:80".parse().unwrap(), &link).is_ok());
    }
}
