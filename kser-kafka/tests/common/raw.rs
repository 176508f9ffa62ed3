//! Sends what no client of ours can: the bytes of the protocol.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Publishes a record to partition 0 whose header has this name.
pub(crate) fn publish_with_header(address: &str, topic: &str, name: &[u8], payload: &[u8]) {
    let mut request = Vec::new();
    // Produce, version 3, correlation 1, no client id, no transaction, all replicas, 5 seconds.
    request.extend([0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    request.extend(5000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(short(topic.as_bytes()));
    request.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    request.extend(sized(batch(record(name, payload))));
    ask(address, topic, request);
}

/// Commits an offset of partition 0 with these bytes beside it.
pub(crate) fn commit_with_metadata(
    address: &str,
    group: &str,
    topic: &str,
    offset: i64,
    metadata: &[u8],
) {
    // Offset commit, version 2, correlation 1, no client id.
    let mut request = vec![0, 8, 0, 2, 0, 0, 0, 1, 0xff, 0xff];
    request.extend(short(group.as_bytes()));
    // From no member, kept as long as the brokers say.
    request.extend([0xff, 0xff, 0xff, 0xff, 0, 0]);
    request.extend([0xff; 8]);
    request.extend(1_i32.to_be_bytes());
    request.extend(short(topic.as_bytes()));
    request.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    request.extend(offset.to_be_bytes());
    request.extend(short(metadata));
    ask(address, topic, request);
}

/// Sends a request about partition 0 of a topic, to which the answer has to be that it is done.
fn ask(address: &str, topic: &str, request: Vec<u8>) {
    let mut stream = TcpStream::connect(address.split(',').next().unwrap()).unwrap();
    stream.write_all(&sized(request)).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Behind the correlation, the topic and its partition.
    let error = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[error..error + 2], [0, 0], "{answer:?}");
}

fn short(bytes: &[u8]) -> Vec<u8> {
    let size = i16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&size[..], bytes].concat()
}

fn sized(bytes: Vec<u8>) -> Vec<u8> {
    let size = i32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&size[..], &bytes].concat()
}

/// A number below 64, as records have them.
fn small(number: usize) -> u8 {
    u8::try_from(number * 2).unwrap()
}

fn record(name: &[u8], payload: &[u8]) -> Vec<u8> {
    // No attributes, the time and the offset of the batch, no key.
    let mut record = vec![0, 0, 0, 1, small(payload.len())];
    record.extend(payload);
    record.extend([small(1), small(name.len())]);
    record.extend(name);
    record.extend([small(1), b'x']);
    record.insert(0, small(record.len()));
    record
}

fn batch(record: Vec<u8>) -> Vec<u8> {
    // Attributes, last offset, both times, no producer, one record.
    let mut checked = vec![0; 2 + 4 + 8 + 8];
    checked.extend([0xff; 8 + 2 + 4]);
    checked.extend([0, 0, 0, 1]);
    checked.extend(record);
    let mut rest = vec![0xff, 0xff, 0xff, 0xff, 2];
    rest.extend(crc32c(&checked).to_be_bytes());
    rest.extend(checked);
    [vec![0; 8], sized(rest)].concat()
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let bit = crc & 1;
            crc = (crc >> 1) ^ (bit * 0x82f6_3b78);
        }
    }
    !crc
}
