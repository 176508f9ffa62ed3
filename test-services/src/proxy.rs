//! A proxy between clients and a broker that loses a chosen request, or its answer.
//!
//! It reads the frames of Kafka's protocol and of each request the first fields of its header, which are the same in all
//! versions: the API, its version, the correlation id and the client id. Bodies pass untouched, but for the versions of the APIs,
//! which can be lowered. The broker advertises the address of the proxy, so that its clients have no other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ports;

/// The number of the API that tells the versions of all.
const API_VERSIONS: i16 = 18;
/// The longest time for which an answer is held up.
const HOLD: Duration = Duration::from_secs(8);
/// The interval at which a held answer is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// A frame that is longer is an error of this proxy.
const LONGEST: usize = 256 << 20;

/// A request: that of a client to an API, by its number from 0 on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The client id (`client.id`).
    pub client: String,
    /// The number of the API, such as 0 for Produce.
    pub api: i16,
    /// The number of earlier requests of the client to this API, over all its connections.
    pub nth: usize,
}

/// The part of a request that is lost. The connection is cut with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// The request does not reach the broker.
    Request,
    /// The broker carries the request out, and its answer does not reach the client.
    Answer,
}

/// A proxy in front of one broker.
#[derive(Debug)]
pub(crate) struct Proxy {
    state: Arc<Mutex<State>>,
    port: u16,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<(String, i16), usize>,
    losses: Vec<(Place, Loss)>,
    /// The losses that have happened.
    lost: Vec<Place>,
    /// The requests whose answers are held up: the client and the API.
    held: BTreeSet<(String, i16)>,
    /// The greatest versions of APIs that the broker seems to offer to a client, where these are lower than its own.
    versions: BTreeMap<String, BTreeMap<i16, i16>>,
}

impl Proxy {
    /// Listens on a free port, for a broker that will listen on another.
    pub(crate) fn start(broker: u16) -> Result<Self, String> {
        let port = ports::free();
        let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        let state = Arc::<Mutex<State>>::default();
        let of_thread = Arc::clone(&state);
        // The thread ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&of_thread);
                thread::spawn(move || connect(client, broker, &state));
            }
        });
        Ok(Self { state, port })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Loses a request that a client will make.
    pub(crate) fn lose(&self, place: Place, loss: Loss) {
        lock(&self.state).losses.push((place, loss));
    }

    /// Says whether a loss has happened.
    pub(crate) fn has_lost(&self, place: &Place) -> bool {
        lock(&self.state).lost.contains(place)
    }

    /// Holds up the answers to the requests of a client to an API from now on, for at most eight seconds each.
    pub(crate) fn hold(&self, client: &str, api: i16) {
        lock(&self.state).held.insert((client.to_owned(), api));
    }

    /// Lets held answers go on.
    pub(crate) fn release(&self, client: &str, api: i16) {
        lock(&self.state).held.remove(&(client.to_owned(), api));
    }

    /// Has the broker seem to offer an API up to a version, to a client that connects from now on.
    pub(crate) fn limit_version(&self, client: &str, api: i16, greatest: i16) {
        let mut state = lock(&self.state);
        let versions = state.versions.entry(client.to_owned()).or_default();
        versions.insert(api, greatest);
    }

    /// Counts the requests of a client so far, by API.
    pub(crate) fn requests(&self, client: &str) -> BTreeMap<i16, usize> {
        let state = lock(&self.state);
        let of_client = state.counts.iter().filter(|((of, _), _)| of == client);
        of_client.map(|((_, api), count)| (*api, *count)).collect()
    }
}

/// Connects a client with the broker until either closes the connection, or a loss cuts it.
fn connect(client: TcpStream, broker: u16, state: &Arc<Mutex<State>>) {
    // A broker that does not run refuses the connection, as the client sees.
    let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    // The correlation ids of the requests whose answers are lost, and the headers of the requests without an answer.
    let awaited = Arc::<Mutex<Vec<i32>>>::default();
    let asked = Arc::<Mutex<BTreeMap<i32, Header>>>::default();
    let (of_requests, asked_by_requests) = (Arc::clone(&awaited), Arc::clone(&asked));
    let (state, of_answers) = (Arc::clone(state), Arc::clone(state));
    let requests = thread::spawn(move || {
        let _ = pump(&from_client, &to_server, |frame| {
            let header = Header::read(frame)?;
            match next_loss(&state, &header) {
                Some(Loss::Request) => return None,
                Some(Loss::Answer) => lock(&of_requests).push(header.correlation),
                None => {}
            }
            lock(&asked_by_requests).insert(header.correlation, header);
            Some(())
        });
        cut(&from_client, &to_server);
    });
    let _ = pump(&server, &client, |frame| {
        let correlation = i32::from_be_bytes(frame.get(..4)?.try_into().ok()?);
        if let Some(asked) = lock(&asked).remove(&correlation) {
            wait_while_held(&of_answers, &asked);
            if asked.api == API_VERSIONS
                && let Some(limits) = lock(&of_answers).versions.get(&asked.client)
            {
                limit_versions(frame, asked.version, limits);
            }
        }
        (!lock(&awaited).contains(&correlation)).then_some(())
    });
    cut(&server, &client);
    let _ = requests.join();
}

/// Lowers the greatest versions in an answer to ApiVersions, which has the same length then.
fn limit_versions(frame: &mut [u8], version: i16, limits: &BTreeMap<i16, i16>) {
    // The correlation id and the error; then the number of entries, which have three numbers and, from version 3 on, a byte for
    // tags. The compact form of the number is one more, of seven bits a byte.
    let byte = |at: usize| usize::from(frame.get(at).copied().unwrap_or_default());
    let (start, count, entry) = match (version, byte(6) & 0x80 != 0) {
        (0..=2, _) => (10, byte(8) << 8 | byte(9), 6),
        (_, false) => (7, byte(6).saturating_sub(1), 7),
        (_, true) => (8, ((byte(6) & 0x7f) | byte(7) << 7) - 1, 7),
    };
    let entries = frame.get_mut(start..).unwrap_or_default();
    for entry in entries.chunks_exact_mut(entry).take(count) {
        let api = i16::from_be_bytes([entry[0], entry[1]]);
        let greatest = i16::from_be_bytes([entry[4], entry[5]]);
        if let Some(limit) = limits.get(&api)
            && greatest > *limit
        {
            entry[4..6].copy_from_slice(&limit.to_be_bytes());
        }
    }
}

fn cut(from: &TcpStream, to: &TcpStream) {
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Passes frames on until the connection ends, or `look` returns `None`: then the frame is lost.
fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mut look: impl FnMut(&mut [u8]) -> Option<()>,
) -> std::io::Result<()> {
    let mut frame = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let bytes = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if bytes > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        frame.resize(bytes, 0);
        from.read_exact(&mut frame)?;
        if look(&mut frame).is_none() {
            return Ok(());
        }
        to.write_all(&[&length[..], &frame].concat())?;
    }
}

/// Waits while the answers to requests like this are held up.
fn wait_while_held(state: &Mutex<State>, header: &Header) {
    let request = (header.client.clone(), header.api);
    for _ in 0..HOLD.as_millis() / PAUSE.as_millis() {
        if !lock(state).held.contains(&request) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// Counts a request. Returns the loss that is planned for it.
fn next_loss(state: &Mutex<State>, header: &Header) -> Option<Loss> {
    let mut state = lock(state);
    let count = state.counts.entry((header.client.clone(), header.api));
    let count = count.or_default();
    let place = Place {
        client: header.client.clone(),
        api: header.api,
        nth: *count,
    };
    *count += 1;
    let at = state.losses.iter().position(|(lost, _)| *lost == place)?;
    let (place, loss) = state.losses.swap_remove(at);
    state.lost.push(place);
    Some(loss)
}

/// The first fields of the header of a request.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    api: i16,
    version: i16,
    correlation: i32,
    client: String,
}

impl Header {
    fn read(frame: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        // A length of -1 stands for no client id.
        let length = usize::try_from(short(8)?).unwrap_or(0);
        Some(Self {
            api: short(0)?,
            version: short(2)?,
            correlation: i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?),
            client: String::from_utf8_lossy(frame.get(10..10 + length)?).into_owned(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that answers each request with its correlation id, and counts them.
    fn broker() -> (u16, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::<Mutex<usize>>::default();
        let of_thread = Arc::clone(&count);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let count = Arc::clone(&of_thread);
                thread::spawn(move || {
                    let _ = pump(&client, &client, |_| {
                        *lock(&count) += 1;
                        Some(())
                    });
                });
            }
        });
        (port, count)
    }

    fn request(api: i16, correlation: i32) -> Vec<u8> {
        // The broker of the test answers with the request, whose correlation id comes first in an answer.
        let client = b"c";
        let mut frame = [api.to_be_bytes(), 3_i16.to_be_bytes()].concat();
        frame.extend(correlation.to_be_bytes());
        frame.extend(1_i16.to_be_bytes());
        frame.extend(client);
        frame
    }

    /// Sends a request on a new connection. Returns whether an answer came.
    fn ask(port: u16, api: i16) -> bool {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // The first four bytes, which an answer has as its correlation id, are the API and the version.
        let frame = request(api, (i32::from(api) << 16) | 3);
        let length = i32::try_from(frame.len()).unwrap();
        stream.write_all(&length.to_be_bytes()).unwrap();
        stream.write_all(&frame).unwrap();
        let mut answer = vec![0; 4 + frame.len()];
        stream.read_exact(&mut answer).is_ok()
    }

    #[test]
    fn a_request_is_lost_before_its_effect_or_after_it() {
        let (broker, count) = broker();
        let proxy = Proxy::start(broker).unwrap();
        let place = |api, nth| Place {
            client: "c".to_owned(),
            api,
            nth,
        };
        proxy.lose(place(7, 1), Loss::Request);
        proxy.lose(place(8, 0), Loss::Answer);
        let answered = [7, 7, 7, 8, 8].map(|api| ask(proxy.port(), api));
        assert_eq!(answered, [true, false, true, false, true]);
        assert_eq!(*lock(&count), 4, "the broker has got all but one");
        assert!(proxy.has_lost(&place(7, 1)) && proxy.has_lost(&place(8, 0)));
        assert!(!proxy.has_lost(&place(7, 0)));
        assert_eq!(proxy.requests("c"), BTreeMap::from([(7, 3), (8, 2)]));
        assert!(proxy.requests("d").is_empty());
    }

    #[test]
    fn the_offered_versions_are_lowered() {
        let entry =
            |api: i16, greatest: i16| [api.to_be_bytes(), [0, 0], greatest.to_be_bytes()].concat();
        let limits = BTreeMap::from([(28, 2), (9, 7)]);
        let plain = |greatest| {
            [
                &[0; 6][..],
                &[0, 0, 0, 2],
                &entry(28, greatest),
                &entry(9, 5),
            ]
            .concat()
        };
        let mut frame = plain(5);
        limit_versions(&mut frame, 2, &limits);
        assert_eq!(frame, plain(2));
        let compact = |greatest| {
            [
                &[0; 6][..],
                &[3],
                &entry(28, greatest),
                &[0],
                &entry(9, 5),
                &[0; 6],
            ]
            .concat()
        };
        let mut frame = compact(5);
        limit_versions(&mut frame, 3, &limits);
        assert_eq!(frame, compact(2));
    }
}
