use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::OpsError;

/// The largest answer of a probe that is read.
const LARGEST: u64 = 1024 * 1024;

/// A probe of a program, as kser-observe serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Whether the process works.
    Live,
    /// Whether it receives messages and can run them.
    Ready,
    /// Whether it has started.
    Started,
    /// The health of all its consumers, which is always an answer.
    Health,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Started => "/startupz",
            Self::Health => "/healthz",
        }
    }
}

/// The answer of a probe.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ProbeAnswer {
    /// Whether the answer is good.
    pub ok: bool,
    /// The reasons of a bad answer, one a line, or `ok`; empty for [`Probe::Health`].
    pub text: String,
    /// The answer of [`Probe::Health`], which is JSON.
    pub health: Option<Box<RawValue>>,
}

/// Asks a program that serves the probes of kser-observe at `url`, such as `http://127.0.0.1:8788`. It is plain HTTP/1.1.
///
/// # Errors
///
/// [`OpsError::Invalid`] for a URL that is none, [`OpsError::Needs`] when no program answers, or another kind of program does,
/// [`OpsError::TimedOut`] after `limit`.
pub async fn probe(url: &str, probe: Probe, limit: Duration) -> Result<ProbeAnswer, OpsError> {
    let place = place(url)?;
    let what = "the program";
    let answered = timeout(limit, ask(&place, probe.path())).await;
    let answer = answered.map_err(|_| OpsError::TimedOut { what, limit })?;
    let answer = answer.map_err(|error| silent(&place, &error.to_string()))?;
    read(&answer, probe).ok_or_else(|| silent(&place, "the answer is not that of kser-observe"))
}

fn silent(place: &str, reason: &str) -> OpsError {
    OpsError::Needs {
        what: "asking for the health",
        part: "a program that serves it",
        reason: format!("{place}: {reason}"),
        temporary: true,
    }
}

/// Returns host and port of a URL.
fn place(url: &str) -> Result<String, OpsError> {
    let invalid = |reason: &str| OpsError::Invalid {
        what: format!("the URL {:?}", crate::access::shown_url(url)),
        reason: reason.to_owned(),
    };
    let place = url.strip_prefix("http://");
    let place =
        place.ok_or_else(|| invalid("it has the form http://host:port; TLS is not supported"))?;
    let place = place.trim_end_matches('/');
    if place.is_empty() || place.contains(['/', '@', '?']) || place.chars().any(char::is_control) {
        return Err(invalid("it has the form http://host:port"));
    }
    Ok(match place.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => place.to_owned(),
        _ => format!("{place}:80"),
    })
}

async fn ask(place: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(place).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Reads an answer: 200 with `ok` or JSON, or 503 with reasons.
fn read(answer: &[u8], probe: Probe) -> Option<ProbeAnswer> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut status = head.split(' ');
    let (protocol, code) = (status.next()?, status.next()?);
    let ok = match (protocol.starts_with("HTTP/1."), code) {
        (true, "200") => true,
        (true, "503") => false,
        _ => return None,
    };
    let health = match probe {
        Probe::Health => Some(serde_json::from_str(body).ok()?),
        _ => None,
    };
    Some(ProbeAnswer {
        ok,
        text: match health {
            Some(_) => String::new(),
            None => body.trim_end().to_owned(),
        },
        health,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let text = |answer: &str, probe| {
            let read = read(answer.as_bytes(), probe);
            read.map(|answer| (answer.ok, answer.text))
        };
        let ok = text(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n",
            Probe::Ready,
        );
        assert_eq!(ok, Some((true, "ok".to_owned())));
        let not = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot_joined: group kser.dice\n";
        let not = text(not, Probe::Ready);
        assert_eq!(not, Some((false, "not_joined: group kser.dice".to_owned())));
        for strange in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\nx"] {
            assert_eq!(text(strange, Probe::Ready), None, "{strange}");
        }
        assert_eq!(text("HTTP/1.1 200 OK\r\n\r\nhello", Probe::Health), None);
        assert!(text("HTTP/1.1 200 OK\r\n\r\n{\"live\":true}", Probe::Health).is_some());
    }

    #[test]
    fn a_url_has_a_host() {
        assert_eq!(place("http://a:8788/").unwrap(), "a:8788");
        assert_eq!(place("http://a").unwrap(), "a:80");
        for wrong in [
            "a:8788",
            "https://a",
            "http://",
            "http://u:hunter2@a",
            "http://a\r\nX: y",
        ] {
            let error = place(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
