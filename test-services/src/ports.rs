use std::fs::read_to_string;
use std::net::TcpListener;
use std::process::id;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;

/// The distance between the ports of one process and those of the next.
const BLOCK: u32 = 64;

/// Returns a free port, which is not returned again in this process.
///
/// The port lies below the range of outgoing connections: such a connection could take the port of a broker while it is down,
/// and a client that connects again and again could even connect to itself.
pub(crate) fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = outgoing().saturating_sub(FIRST).max(BLOCK);
    let block = id().wrapping_mul(BLOCK);
    (0..range)
        .filter_map(|_| {
            let n = block.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            u16::try_from(FIRST + n % range).ok()
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("of thousands of ports one is free")
}

/// Returns the first port of outgoing connections: by Linux's setting, or the default of most systems.
fn outgoing() -> u32 {
    let range = read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range
        .split_whitespace()
        .next()
        .and_then(|port| port.parse().ok());
    first.unwrap_or(32_768)
}
