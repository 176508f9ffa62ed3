//! What can still be read of a message that is refused.

use kser_core::Message;

const METADATA: &str =
    r#"{"tenant":"Zoe","kser":{"v":1,"run":"r","name":"a.B","step":1,"of":1,"mode":"stored"}}"#;

#[test]
fn a_field_that_cannot_be_read_is_left_out() {
    let wrong = [
        (r#""params":null"#, "params"),
        (r#""params":{"n":2.50},"result":{"stderr":null}"#, "result"),
        (r#""params":{"n":2.50},"result":7"#, "result"),
    ];
    for (fields, flaw) in wrong {
        let text = format!(r#"{{"uuid":"u","entrypoint":"e",{fields},"metadata":{METADATA}}}"#);
        let refused = Message::decode(text.as_bytes()).unwrap_err();
        assert!(refused.report().contains(flaw), "{}", refused.report());
        let message = Message::salvage(text.as_bytes()).unwrap();
        assert_eq!(
            (message.uuid.as_str(), message.entrypoint.as_str()),
            ("u", "e")
        );
        assert_eq!(message.metadata.envelope().unwrap().run.as_str(), "r");
        assert_eq!(message.metadata.get("tenant").unwrap().as_str(), r#""Zoe""#);
        let params = match flaw {
            "params" => "{}",
            _ => r#"{"n":2.50}"#,
        };
        assert_eq!(message.params.as_str(), params);
    }
}

#[test]
fn metadata_and_ids_that_cannot_be_read_are_left_out() {
    for (metadata, uuid) in [("null", r#""u""#), (r#"{"kser":{"v":1}}"#, "7")] {
        let text = format!(r#"{{"uuid":{uuid},"entrypoint":"e","metadata":{metadata}}}"#);
        let message = Message::salvage(text.as_bytes()).unwrap();
        assert!(message.metadata.envelope().is_none());
        assert_eq!(message.uuid.as_str(), if uuid == "7" { "" } else { "u" });
    }
}

#[test]
fn what_is_no_object_or_has_no_entrypoint_is_nothing() {
    for text in [
        "",
        "no JSON",
        "[]",
        "{",
        r#"{"uuid":"u"}"#,
        r#"{"entrypoint":7}"#,
        "{\"a\":\u{0}}",
    ] {
        assert!(Message::salvage(text.as_bytes()).is_none(), "{text}");
    }
    assert!(Message::salvage(b"{\"entrypoint\":\"\xff\"}").is_none());
}
