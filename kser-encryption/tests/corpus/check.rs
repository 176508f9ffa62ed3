//! The properties that hold for any bytes: of the fuzz target, and of the test that runs its corpus.

use kser_core::Topic;
use kser_encryption::{Key, KeyId, KeyRing, Reading, Writing, open, seal};

/// Opens bytes as they are, and as the data of envelopes whose other fields are right.
pub(crate) fn check(bytes: &[u8]) {
    let key = |byte| Key::from_bytes([byte; 32]);
    let id = |id| KeyId::new(id).expect("it is an id");
    let ring = KeyRing::new(id("new"), key(1));
    let ring = ring
        .with_reader(id("old"), key(2))
        .expect("it is another id");
    let topic = Topic::new("dice").expect("it is a topic");
    let payload = bytes.to_vec().into();
    let strict = open(&ring, Reading::Require, &payload, &topic);
    let lenient = open(&ring, Reading::AllowPlain, &payload, &topic);
    match (strict, lenient) {
        // An envelope is read alike under both policies, or is a plain message under the lenient one.
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Ok(_), Err(error)) => panic!("{error}"),
        (Err(_), Ok(plain)) => assert_eq!((plain.key, plain.plain), (None, payload.clone())),
        (Err(one), Err(other)) => assert_eq!(one, other),
    }
    for writing in [
        Writing::Version1,
        Writing::Version2,
        Writing::Version2Compressed,
    ] {
        let envelope = seal(&ring, writing, payload.clone(), &topic).expect("it is short");
        let opened = open(&ring, Reading::Require, &envelope, &topic).expect("it is unchanged");
        assert_eq!(opened.plain, payload);
        let Some(place) = bytes
            .first()
            .map(|byte| usize::from(*byte) * envelope.len() / 256)
        else {
            continue;
        };
        let mut changed = envelope.to_vec();
        changed[place] ^= bytes.last().copied().unwrap_or_default();
        if let Ok(opened) = open(&ring, Reading::Require, &changed.into(), &topic) {
            assert_eq!(opened.plain, payload);
        }
    }
}
