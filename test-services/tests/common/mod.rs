//! Asks brokers whether they answer, without a client.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The request for the versions of requests: length, kind 18, version 0, number 7, no name.
const VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];

/// Asks a broker for what every broker answers at once, and waits that long.
pub(crate) fn ask(address: &str, limit: Duration) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&VERSIONS)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer[4..], [0, 0, 0, 7]);
    Ok(())
}
