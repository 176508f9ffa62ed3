use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use crate::exposition::MetricsFormat;
use crate::monitor::Monitor;
use crate::probes::Finding;

/// An HTTP server with the metrics and the probes of a [`Monitor`]. It ends when it is dropped.
#[derive(Debug)]
#[must_use = "the server ends when it is dropped"]
pub struct Server {
    address: SocketAddr,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The reason why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be listened on, or is none.
    #[error("listening for metrics and probes failed")]
    Bind {
        /// The error of the system.
        source: std::io::Error,
    },
    /// The thread of the server cannot be started.
    #[error("starting the thread of the server failed")]
    Start {
        /// The error of the system.
        source: std::io::Error,
    },
    /// An environment variable has a value that it cannot have.
    #[error("{variable} is invalid: {value:?} is no {expected}")]
    Invalid {
        /// The name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The kind of value that it has.
        expected: &'static str,
    },
}

impl Server {
    /// Listens, and serves on a thread of its own.
    pub(crate) fn start(address: impl ToSocketAddrs, router: Router) -> Result<Self, ServerError> {
        let bind = |source| ServerError::Bind { source };
        let start = |source| ServerError::Start { source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all();
        let (stop, stopped) = oneshot::channel();
        let (started, has_started) = mpsc::channel();
        // The runtime is made and dropped on the thread: a caller on a runtime of its own may not drop one.
        let serve = move || {
            let runtime = match runtime.build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            runtime.block_on(async {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(())));
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => if let Err(error) = served {
                        tracing::error!(target: "kser", %error, "serving metrics and probes failed; probes get no answer");
                    },
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("kser-observe".to_owned());
        let thread = thread.spawn(serve).map_err(start)?;
        let has_started = has_started.recv();
        let has_started = has_started.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
        has_started.map_err(start)?;
        tracing::info!(target: "kser", %address, "serving metrics and probes");
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Returns the address on which the server listens, with the port that the system chose for port 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends at once, whatever its connections do.
            let _ = thread.join();
        }
    }
}

/// Reads the address from the environment variables of the Python library; `None` if the metrics are not enabled.
pub(crate) fn address_of(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<SocketAddr>, ServerError> {
    if variable("KSER_METRICS_ENABLED").as_deref() != Some("yes") {
        return Ok(None);
    }
    let address = match variable("KSER_METRICS_ADDRESS") {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(value) => value.parse().map_err(|_| ServerError::Invalid {
            variable: "KSER_METRICS_ADDRESS",
            value,
            expected: "IP address",
        })?,
    };
    let port = match variable("KSER_METRICS_PORT") {
        None => 8888,
        Some(value) => value.parse().map_err(|_| ServerError::Invalid {
            variable: "KSER_METRICS_PORT",
            value,
            expected: "port",
        })?,
    };
    Ok(Some(SocketAddr::new(address, port)))
}

/// Makes the routes of a monitor.
pub(crate) fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/healthz", get(healthz))
        .with_state(monitor)
}

async fn metrics(State(monitor): State<Monitor>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let format = MetricsFormat::accepted(accept);
    let headers = [(header::CONTENT_TYPE, format.content_type())];
    (headers, monitor.metrics(format)).into_response()
}

async fn livez(State(monitor): State<Monitor>) -> Response {
    let report = monitor.probes();
    answer(report.live, &report.not_live)
}

async fn readyz(State(monitor): State<Monitor>) -> Response {
    let report = monitor.probes();
    let reasons = [report.not_live, report.not_ready].concat();
    answer(report.ready, &reasons)
}

async fn startupz(State(monitor): State<Monitor>) -> Response {
    let report = monitor.probes();
    match report.started {
        true => answer(true, &[]),
        false => answer(false, &report.not_ready),
    }
}

/// Answers 200 always: the body says how the process is.
async fn healthz(State(monitor): State<Monitor>) -> Response {
    match serde_json::to_string(&monitor.probes()) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Answers a probe: `ok`, or the reasons, one a line.
fn answer(ok: bool, reasons: &[Finding]) -> Response {
    if ok {
        return "ok\n".into_response();
    }
    let lines: String = reasons.iter().map(|reason| format!("{reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let address = address_of(value).map_err(|error| error.to_string())?;
        Ok(address.map(|address| address.to_string()))
    }

    #[test]
    fn the_variables_of_the_python_library_are_read() {
        let enabled = ("KSER_METRICS_ENABLED", "yes");
        assert_eq!(address(&[]), Ok(None));
        // Exactly `yes`, as there.
        for other in ["no", "true", "YES", ""] {
            assert_eq!(address(&[("KSER_METRICS_ENABLED", other)]), Ok(None));
        }
        assert_eq!(address(&[enabled]), Ok(Some("127.0.0.1:8888".to_owned())));
        let all = [
            enabled,
            ("KSER_METRICS_ADDRESS", "0.0.0.0"),
            ("KSER_METRICS_PORT", "9100"),
        ];
        assert_eq!(address(&all), Ok(Some("0.0.0.0:9100".to_owned())));
        let refused = address(&[enabled, ("KSER_METRICS_PORT", "http")]);
        assert_eq!(
            refused,
            Err("KSER_METRICS_PORT is invalid: \"http\" is no port".to_owned())
        );
        assert!(address(&[enabled, ("KSER_METRICS_ADDRESS", "here")]).is_err());
    }
}
