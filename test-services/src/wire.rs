//! The few requests of Kafka's protocol that starting brokers and administration need. A console tool takes a second for each
//! call.
//!
//! They are written by hand, without a dependency, because the tests also need requests that the libraries cannot make:
//! librdkafka's admin client has no election of leaders, no reassignment, no raw batches and no metadata of a single broker,
//! and the crates with Kafka's messages take UTF-8 only, in the headers and the commit metadata that the tests break.
//!
//! Requests have versions before the compact encoding, where there is such a version.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The timeout of an answer. A frozen broker does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one broker, for one request at a time.
#[derive(Debug)]
pub(crate) struct BrokerConnection {
    stream: TcpStream,
}

impl BrokerConnection {
    /// Connects to `host:port`.
    pub(crate) fn open(address: &str) -> Result<Self, String> {
        let text = |error| format!("{address}: {error}");
        let mut addresses = address.to_socket_addrs().map_err(text)?;
        let first = addresses
            .next()
            .ok_or_else(|| format!("{address} is no address"))?;
        let stream = TcpStream::connect_timeout(&first, PATIENCE).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        Ok(Self { stream })
    }

    /// Connects to the first broker of `host:port,host:port` that can be reached.
    pub(crate) fn open_any(addresses: &str) -> Result<Self, String> {
        let mut last = Err("there is no address".to_owned());
        for address in addresses.split(',') {
            last = Self::open(address);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Sends a request and reads its answer.
    pub(crate) fn call(
        &mut self,
        api: i16,
        version: i16,
        body: Request,
    ) -> Result<Response, String> {
        let text = |error| format!("no answer to a request of kind {api}: {error}");
        // Correlation id 0, and no client id.
        let header = Request::new().i16(api).i16(version).i32(0).i16(-1);
        let bytes = [header.bytes, body.bytes].concat();
        let length = i32::try_from(bytes.len()).expect("our requests are small");
        self.stream
            .write_all(&[&length.to_be_bytes()[..], &bytes].concat())
            .map_err(text)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(text)?;
        let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap_or(0)];
        self.stream.read_exact(&mut bytes).map_err(text)?;
        let mut response = Response { bytes, at: 0 };
        response.i32()?;
        Ok(response)
    }

    /// Sends a request of a version with the compact encoding and reads its answer.
    pub(crate) fn call_compact(
        &mut self,
        api: i16,
        version: i16,
        body: Request,
    ) -> Result<Response, String> {
        // The headers of request and answer end with tagged fields.
        let body = Request::new().no_tags().raw(&body.bytes);
        let mut answer = self.call(api, version, body)?;
        answer.no_tags()?;
        Ok(answer)
    }
}

/// The body of a request, made field by field.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(crate) fn i8(self, value: i8) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i16(self, value: i16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// The length of a list, whose members follow.
    pub(crate) fn list(self, length: usize) -> Self {
        self.i32(i32::try_from(length).expect("our lists are short"))
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.short_bytes(value.as_bytes())
    }

    /// Bytes, with the same length prefix as a text.
    pub(crate) fn short_bytes(self, value: &[u8]) -> Self {
        let length = i16::try_from(value.len()).expect("they are short");
        self.i16(length).raw(value)
    }

    /// Bytes, with a length prefix of 4 bytes.
    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        self.list(value.len()).raw(value)
    }

    /// The length of a list in the compact encoding.
    pub(crate) fn compact_list(self, length: usize) -> Self {
        let one_more = i8::try_from(length + 1).expect("our lists and texts are short");
        self.i8(one_more)
    }

    /// A text in the compact encoding.
    pub(crate) fn compact_text(self, value: &str) -> Self {
        self.compact_list(value.len()).raw(value.as_bytes())
    }

    /// The end of a structure in the compact encoding.
    pub(crate) fn no_tags(self) -> Self {
        self.i8(0)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
}

/// An answer, read field by field.
#[derive(Debug)]
pub(crate) struct Response {
    bytes: Vec<u8>,
    at: usize,
}

impl Response {
    pub(crate) fn i8(&mut self) -> Result<i8, String> {
        self.raw().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, String> {
        self.raw().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, String> {
        self.raw().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, String> {
        self.raw().map(i64::from_be_bytes)
    }

    /// A text; empty if it is null.
    pub(crate) fn text(&mut self) -> Result<String, String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        let bytes = self.take(length)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// A list, whose members the function reads; empty if it is null.
    pub(crate) fn list<T>(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        (0..self.i32()?).map(|_| member(self)).collect()
    }

    /// A list in the compact encoding; empty if it is null.
    pub(crate) fn compact_list<T>(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let length = self.compact_length()?;
        (0..length).map(|_| member(self)).collect()
    }

    /// A text in the compact encoding; empty if it is null.
    pub(crate) fn compact_text(&mut self) -> Result<String, String> {
        let length = self.compact_length()?;
        let bytes = self.take(length)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The end of a structure in the compact encoding. Only later versions have tagged fields.
    pub(crate) fn no_tags(&mut self) -> Result<(), String> {
        match self.i8()? {
            0 => Ok(()),
            _ => Err("an answer has tagged fields".to_owned()),
        }
    }

    /// A length: a varint of the length plus one; 0 stands for null.
    fn compact_length(&mut self) -> Result<usize, String> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.i8()?.cast_unsigned());
            length |= (byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(length.saturating_sub(1));
            }
        }
    }

    fn raw<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut raw = [0; N];
        raw.copy_from_slice(self.take(N)?);
        Ok(raw)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let at = self.at;
        self.at += length;
        self.bytes
            .get(at..self.at)
            .ok_or_else(|| "an answer is too short".to_owned())
    }
}
