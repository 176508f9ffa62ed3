use data_encoding::BASE64;
use kser::backend::{Record, Transport, headers};
use kser::message::Topic;
use kser_cli::Exit;
use serde_json::{Value, json};

use super::world::World;

/// The bytes of a payload that is no UTF-8.
const BINARY: [u8; 4] = [0, 0xff, b'{', 0xc3];

async fn world() -> World {
    let world = World::new().await.with_letters().await;
    let topic = Topic::new("mail.dlt").expect("a topic");
    let record = Record::new(topic.clone(), Some(BINARY.to_vec().into()));
    let record = record.with_key(vec![0xfe]).with_header("flag", vec![0x80]);
    let record = record.with_header(headers::ERROR, "no message");
    let empty = Record::new(topic, None)
        .with_header("flag", "a")
        .with_header("flag", "b");
    world
        .transport
        .publish(vec![record, empty])
        .await
        .expect("letters");
    world
}

fn read(lines: &[String]) -> Vec<Value> {
    let read = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    read.collect()
}

/// Each byte of each letter is in the export: its key, its headers in their order, its payload.
#[tokio::test(start_paused = true)]
async fn letters_are_exported_byte_for_byte() {
    let world = world().await;
    let answer = world.kser("letters export --payload").await;
    assert_eq!((answer.exit, answer.text.as_str()), (Exit::Done, ""));
    let letters = read(&answer.told);
    assert_eq!(letters.len(), 8, "{letters:?}");
    let record = |address: &str| {
        let letter = letters.iter().find(|letter| letter["address"] == address);
        letter.expect("a letter")["record"].clone()
    };
    assert_eq!(
        record("billing.dlt/0/0")["payload"],
        json!({"text": "{\"card\":\"4711\"}"})
    );
    let binary = record("mail.dlt/0/0");
    let bytes = |value: &Value| BASE64.decode(value["base64"].as_str().unwrap().as_bytes());
    assert_eq!(bytes(&binary["payload"]).unwrap(), BINARY);
    assert_eq!(bytes(&binary["key"]).unwrap(), [0xfe]);
    assert_eq!(bytes(&binary["headers"][0]["value"]).unwrap(), [0x80]);
    let flag = |value: &str| json!({"name": "flag", "value": {"text": value}});
    let empty = json!({"key": null, "headers": [flag("a"), flag("b")], "payload": null});
    assert_eq!(record("mail.dlt/0/1"), empty);
}

/// An export that was interrupted goes on behind its last letter, and leaves none out.
#[tokio::test(start_paused = true)]
async fn an_export_goes_on_where_it_was_interrupted() {
    let world = world().await;
    let all = world.kser("letters export --payload").await.told;
    for (index, line) in read(&all).iter().enumerate() {
        let address = line["address"].as_str().unwrap();
        let rest = world
            .kser(&format!("letters export --payload --after {address}"))
            .await;
        assert_eq!(rest.told, all[index + 1..], "{address}");
    }
    let of_topic = world
        .kser("letters export billing --payload --after billing/0/2")
        .await;
    assert_eq!(of_topic.told, all[3..5]);
}

#[tokio::test(start_paused = true)]
async fn an_export_without_payloads_says_so() {
    let world = world().await;
    let answer = world.kser("letters export billing --cause 00000000").await;
    assert_eq!((answer.told.len(), answer.noted.len()), (0, 0));
    let answer = world.kser("letters export billing").await;
    assert!(
        answer.told.iter().all(|line| !line.contains("4711")),
        "{answer:?}"
    );
    assert_eq!(
        answer.noted,
        ["keys, headers and payloads are left out: --payload adds them"]
    );
}

/// With `--json` the export is one array, also an empty one.
#[tokio::test(start_paused = true)]
async fn an_export_as_json_is_one_array() {
    let world = world().await;
    let answer = world.kser("letters export --json").await;
    let letters: Value = serde_json::from_str(&answer.told.join("\n")).unwrap();
    assert_eq!(letters.as_array().map(Vec::len), Some(8));
    let none = world.kser("letters export --since 1s --json").await;
    let none: Value = serde_json::from_str(&none.told.join("\n")).unwrap();
    assert_eq!(
        none.as_array().map(Vec::len),
        Some(2),
        "letters without a time count as written now"
    );
    let none = world.kser("letters export --run none --json").await.told;
    assert_eq!(none, ["[]"]);
}
