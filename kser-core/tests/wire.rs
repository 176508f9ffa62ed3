//! One test for each line of `wire/messages.jsonl`, which the Python library wrote, and of `wire/cases.jsonl`, which adds
//! odd inputs with what is right for each.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_core::{Error, Message};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

fn main() {
    let messages = trials("messages", include_str!("wire/messages.jsonl"), from_python);
    let cases = trials("cases", include_str!("wire/cases.jsonl"), odd);
    let all = messages.into_iter().chain(cases).collect();
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn trials(file: &str, lines: &str, check: fn(&Value) -> Result<(), Failed>) -> Vec<Trial> {
    let cases = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let trial = |case: Value| Trial::test(format!("{file}::{}", name(&case)), move || check(&case));
    cases.map(trial).collect()
}

fn name(case: &Value) -> String {
    case["name"].as_str().unwrap().to_owned()
}

/// What Python understood is what we understand, and what we write is read back the same.
fn from_python(case: &Value) -> Result<(), Failed> {
    let decoded = Message::decode(case["raw"].as_str().unwrap().as_bytes());
    if !case["error"].is_null() {
        return refused(decoded);
    }
    let message = decoded.map_err(told)?;
    same(&as_value(&message)?, &case["ok"])?;
    let again = Message::decode(&message.encode()?).map_err(told)?;
    same(&as_value(&again)?, &case["ok"])
}

fn odd(case: &Value) -> Result<(), Failed> {
    let bytes = raw(case);
    let decoded = Message::decode(&bytes);
    if case["expect"] == "error" {
        return refused(decoded);
    }
    let message = decoded.map_err(told)?;
    let again = Message::decode(&message.encode()?).map_err(told)?;
    for message in [&message, &again] {
        kept(message, &case["keep"])?;
        wanted(message, &case["want"])?;
    }
    Ok(())
}

/// Texts that must come through to the letter.
fn kept(message: &Message, keep: &Value) -> Result<(), Failed> {
    let result = &message.result;
    for (field, text) in keep.as_object().into_iter().flatten() {
        let text = text.as_str().unwrap();
        let encoded = String::from_utf8(message.encode()?.to_vec())?;
        let seen = match field.as_str() {
            "params" => message.params.as_str(),
            "retval" => result.data().as_str(),
            _ if encoded.contains(text) => continue,
            _ => &encoded,
        };
        if seen != text {
            return Err(format!("{field}: {seen} is not {text}").into());
        }
    }
    Ok(())
}

fn wanted(message: &Message, want: &Value) -> Result<(), Failed> {
    let result = &message.result;
    for (field, value) in want.as_object().into_iter().flatten() {
        let seen = match field.as_str() {
            "uuid" => Value::from(message.uuid.as_str()),
            "retcode" => Value::from(result.code()),
            "result_uuid" => Value::from(result.uuid().unwrap().as_str()),
            "stdout" => Value::from(result.message()),
            "success" => Value::from(result.is_success()),
            "entrypoint" => Value::from(message.entrypoint.as_str()),
            "params" => serde_json::from_str(message.params.as_str())?,
            other => return Err(format!("no idea how to check {other}").into()),
        };
        same(&seen, value)?;
    }
    Ok(())
}

/// The error says what was seen, and where.
fn refused(decoded: Result<Message, Error>) -> Result<(), Failed> {
    match decoded {
        Ok(message) => Err(format!("accepted as {message:?}").into()),
        Err(error) => {
            let text = told(error);
            match text.contains("(byte ") {
                true => Ok(()),
                false => Err(format!("says no place: {text}").into()),
            }
        }
    }
}

fn told(error: Error) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn same(seen: &Value, expected: &Value) -> Result<(), Failed> {
    match seen == expected {
        true => Ok(()),
        false => Err(format!("{seen}\nis not\n{expected}").into()),
    }
}

fn as_value(message: &Message) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&message.encode()?)?)
}

fn raw(case: &Value) -> Vec<u8> {
    match case["raw_b64"].as_str() {
        Some(text) => base64(text),
        None => case["raw"].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter(|byte| *byte != b'=');
    let digits = digits.map(|byte| alphabet.iter().position(|known| *known == byte).unwrap());
    let digits: Vec<_> = digits.map(|digit| u32::try_from(digit).unwrap()).collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit);
        let bits = bits << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}
