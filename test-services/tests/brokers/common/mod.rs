//! Checks without a client whether brokers answer.

use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The ApiVersions request: length, key 18, version 0, correlation id 7, no client id.
const VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];

/// Sends a request that every broker answers at once, and waits for the answer at most for this time.
pub(crate) fn ask(address: &str, limit: Duration) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&VERSIONS)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer[4..], [0, 0, 0, 7]);
    Ok(())
}
