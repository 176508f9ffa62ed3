//! A proxy that loses connections at a chosen statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What is lost with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The statement, before the server sees it.
    Statement,
    /// The answer, after the server has committed.
    Answer,
}

/// A proxy in front of a server.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    address: String,
    /// The statements until the one at which the connection is lost; none while it is negative.
    left: Arc<AtomicI64>,
    /// Set once nothing passes any more.
    ended: Arc<AtomicBool>,
}

/// What the proxy does beside passing on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Loses(Loss),
    /// Passes nothing on from the first loss on, as if the process of the client had crashed.
    EndsAt(Loss),
    /// Leaves out the settings of a connection, as a pooler does.
    DropsSettings,
}

impl Proxy {
    pub(crate) async fn start(server: String, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            left: Arc::new(AtomicI64::new(-1)),
            ended: Arc::default(),
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&server).await {
                    let this = this.clone();
                    tokio::spawn(async move { this.pass_on(client, server, kind).await });
                }
            }
        });
        proxy
    }

    /// Returns the URL of a database behind the proxy.
    pub(crate) fn url(&self, direct: &str, server: &str) -> String {
        direct.replace(server, &self.address)
    }

    /// Loses the connection of the statement with this number, counted from 0 on.
    pub(crate) fn lose(&self, statement: i64) {
        self.left.store(statement, Ordering::SeqCst);
    }

    /// Says whether nothing passes any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Says whether the connection of the chosen statement was lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    async fn pass_on(&self, mut client: TcpStream, mut server: TcpStream, kind: Kind) {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut first = true;
        let mut lost = false;
        loop {
            tokio::select! {
                sent = read(&mut from_client) => {
                    let Some(mut sent) = sent.filter(|_| !self.has_ended()) else { return };
                    let asks_for_tls = sent == ASKS_FOR_TLS;
                    if first && !asks_for_tls && kind == Kind::DropsSettings {
                        sent = without_settings(&sent);
                    }
                    let is_statement = !first && has_statement(&sent);
                    first &= asks_for_tls;
                    if is_statement && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
                        self.ended.store(matches!(kind, Kind::EndsAt(_)), Ordering::SeqCst);
                        match kind {
                            Kind::Loses(Loss::Statement) | Kind::EndsAt(Loss::Statement) => return,
                            _ => lost = true,
                        }
                    }
                    if to_server.write_all(&sent).await.is_err() { return }
                }
                answered = read(&mut from_server) => {
                    let Some(answered) = answered else { return };
                    if self.has_ended() && !lost { return }
                    // The server is ready for the next statement: the transaction has ended.
                    if lost && answered.ends_with(b"Z\0\0\0\x05I") { return }
                    if !lost && to_client.write_all(&answered).await.is_err() { return }
                }
            }
        }
    }
}

/// The message before the one that begins a connection, from a client that would have TLS.
const ASKS_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Says whether messages execute something: bind and execute, or a simple query.
fn has_statement(messages: &[u8]) -> bool {
    matches!(messages.first(), Some(b'B' | b'Q'))
}

/// Leaves the options out of the message that begins a connection.
fn without_settings(message: &[u8]) -> Vec<u8> {
    let mut parts = message[8..].split(|byte| *byte == 0);
    let mut kept = message[4..8].to_vec();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if name != b"options" && !name.is_empty() {
            kept.extend([name, &[0], value, &[0]].concat());
        }
    }
    kept.push(0);
    let length = u32::try_from(kept.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &kept].concat()
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 64 << 10];
    match from.read(&mut bytes).await {
        Ok(read) if read > 0 => Some(bytes[..read].to_vec()),
        _ => None,
    }
}
