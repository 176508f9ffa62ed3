//! The bytes of a batch of one record, with headers that clients do not write.

/// Encodes a record without a key.
pub(crate) fn of_one(headers: &[(&[u8], Option<&[u8]>)], payload: &[u8]) -> Vec<u8> {
    of(0, &record(headers, payload))
}

/// Encodes a batch that is marked as compressed and is not.
pub(crate) fn damaged() -> Vec<u8> {
    const SNAPPY: u8 = 2;
    of(SNAPPY, b"\xff\xff\xff\xff\xff\xff\xff\xff")
}

/// Encodes a batch of one record.
fn of(attributes: u8, record: &[u8]) -> Vec<u8> {
    // Attributes, last offset, no times, no producer, one record. With times of 0, brokers would delete the record half a
    // minute after their start, because of the retention of its topic.
    let mut checked = vec![0, attributes];
    checked.extend([0; 4]);
    checked.extend([0xff; 8 + 8 + 8 + 2 + 4]);
    checked.extend([0, 0, 0, 1]);
    checked.extend(record);
    // No leader epoch, which the broker sets, and the version.
    let mut rest = vec![0xff, 0xff, 0xff, 0xff, 2];
    rest.extend(crc32c(&checked).to_be_bytes());
    rest.extend(checked);
    let length = i32::try_from(rest.len()).expect("our records are small");
    [&[0; 8][..], &length.to_be_bytes(), &rest].concat()
}

fn record(headers: &[(&[u8], Option<&[u8]>)], payload: &[u8]) -> Vec<u8> {
    // No attributes, the time and the offset of the batch, no key.
    let mut record = vec![0, 0, 0];
    number(-1, &mut record);
    sized(Some(payload), &mut record);
    number(headers.len() as i64, &mut record);
    for (name, value) in headers {
        sized(Some(name), &mut record);
        sized(*value, &mut record);
    }
    let mut whole = Vec::new();
    sized(Some(&record), &mut whole);
    whole
}

/// Writes the length and the bytes; a length of -1 for none.
fn sized(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    number(bytes.map_or(-1, |bytes| bytes.len() as i64), to);
    to.extend(bytes.unwrap_or_default());
}

/// Writes a number in the encoding of records: a zigzag varint.
fn number(number: i64, to: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
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
