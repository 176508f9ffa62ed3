//! The page: the settings of its server, and its end by a signal.

use std::net::SocketAddr;

use kser_ops::{Ops, OpsError};
use kser_web::{Gate, WebOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::args::Web;
use crate::exit::Exit;
use crate::output::Output;
use crate::terminal::Terminal;

/// Serves the page until the process is told to end.
pub(super) async fn serve(
    asked: Web,
    ops: &Ops,
    out: &Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    if out.is_json() {
        return Err(invalid(
            "--json",
            "the page is no document; it has them under /api/v1",
        ));
    }
    log();
    let listener = TcpListener::bind(asked.listen).await;
    let listener =
        listener.map_err(|error| invalid(&asked.listen.to_string(), &error.to_string()))?;
    let address = listener.local_addr();
    let address = address.map_err(|error| invalid("the address", &error.to_string()))?;
    let (to, mut links) = mpsc::unbounded_channel();
    let gate = gate(&asked, address, to)?;
    let options = options(&asked, address, gate)?;
    if asked.token.is_some() || asked.behind_proxy {
        terminal.note(&format!("the page is at http://{address}{}", asked.prefix));
    }
    let mut served = std::pin::pin!(kser_web::serve(listener, ops.clone(), options, stopped()));
    loop {
        tokio::select! {
            Some(link) = links.recv() => {
                terminal.note("open this link; it lets one browser in:");
                terminal.tell(&link);
            }
            ended = &mut served => {
                return match ended {
                    Ok(()) => Ok(Exit::Done),
                    Err(error) => Err(invalid("the page", &reported(&error))),
                };
            }
        }
    }
}

fn invalid(what: &str, reason: &str) -> OpsError {
    OpsError::Invalid {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Returns the text of an error with that of its cause.
fn reported(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Chooses the gate: the header of a proxy, a secret, or links that are printed here.
fn gate(
    asked: &Web,
    address: SocketAddr,
    to: mpsc::UnboundedSender<String>,
) -> Result<Gate, OpsError> {
    let actor = asked.actor.as_str();
    let prefix = asked.prefix.trim_end_matches('/').to_owned();
    let gate = match (&asked.user_header, &asked.token) {
        (Some(header), _) => Gate::header(header),
        (None, Some(token)) => Gate::token(actor, token.as_str()),
        (None, None) => Gate::one_time(actor, move |token| {
            let path = match prefix.as_str() {
                "" => "/",
                prefix => prefix,
            };
            // At the end of the program the terminal has no reader of the link.
            let _ = to.send(format!("http://{address}{path}?token={token}"));
        }),
    };
    gate.map_err(|error| invalid("the access to the page", &error.to_string()))
}

fn options(asked: &Web, address: SocketAddr, gate: Gate) -> Result<WebOptions, OpsError> {
    let wrong = |error: kser_web::OptionsError| invalid("the page", &error.to_string());
    let options = WebOptions::new(gate)
        .with_prefix(&asked.prefix)
        .map_err(wrong)?;
    let mut options = options
        .with_masked(asked.masked.iter().cloned())
        .with_name(asked.name.as_str());
    let own = match address {
        SocketAddr::V4(own) => own.ip().to_string(),
        SocketAddr::V6(own) => format!("[{}]", own.ip()),
    };
    for host in asked.hosts.iter().chain([&own]) {
        options = options.with_host(host).map_err(wrong)?;
    }
    Ok(match asked.allow_writes {
        true => options.with_acts(),
        false => options,
    })
}

/// Writes the log lines of kser to the standard error: each act has one.
fn log() {
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr);
    let lines = lines
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO);
    // A program that calls this as a library may have a log already.
    let _ = lines.try_init();
}

/// Waits until the process is told to end.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut interrupted), Ok(mut terminated)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
