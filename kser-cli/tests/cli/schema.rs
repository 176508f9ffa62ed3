use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::CommandFactory as _;
use jsonschema::Validator;
use kser_cli::Exit;
use kser_cli::args::Cli;
use serde_json::{Value, json};

use super::runs::registry;
use super::world::World;

/// The validators of the documents, by the command, and that of errors by an empty name. They refuse members that the schema does not
/// name, so that no member is added without it.
static VALIDATORS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let mut schema = schema();
    close(&mut schema["$defs"]);
    let of = |place: &Value| {
        let document = json!({"$ref": place, "$defs": schema["$defs"]});
        jsonschema::validator_for(&document).expect("a schema")
    };
    let commands = schema["x-commands"].as_object().expect("commands");
    let commands = commands.iter().map(|(name, at)| (name.clone(), of(at)));
    commands
        .chain([(String::new(), of(&schema["x-error"]))])
        .collect()
});

fn schema() -> Value {
    serde_json::from_str(kser_ops::SCHEMA).expect("JSON")
}

/// Has each object of a schema refuse members that it does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) {
                members
                    .entry("additionalProperties")
                    .or_insert(false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks the document of a command line, or of an error without one.
pub(crate) fn check(line: &str, text: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let name = VALIDATORS.keys().filter(|name| {
        let name: Vec<&str> = name.split(' ').collect();
        words.starts_with(&name)
    });
    let name = name.max_by_key(|name| name.len());
    let name = name.map_or("", String::as_str);
    assert!(line.is_empty() || !name.is_empty(), "no document of {line}");
    let document: Value = serde_json::from_str(text).expect("one document");
    let errors: Vec<String> = VALIDATORS[name]
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{line}: {errors:#?}\n{text}");
}

#[test]
fn the_schema_is_one() {
    jsonschema::meta::validate(&schema()).expect("a schema of the draft that it names");
    let places = schema();
    for place in places["x-commands"].as_object().unwrap().values() {
        let name = place.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        assert!(places["$defs"][name].is_object(), "{name}");
    }
}

/// The commands that print no document.
const WITHOUT: [&str; 4] = ["completions", "man", "schema", "web"];

#[test]
fn each_command_has_a_document() {
    let schema = schema();
    let mut names = Vec::new();
    leaves(&Cli::command(), "", &mut names);
    for name in &names {
        let has = schema["x-commands"].get(name).is_some();
        assert!(has != WITHOUT.contains(&name.as_str()), "{name}");
    }
    assert_eq!(
        names.len(),
        schema["x-commands"].as_object().unwrap().len() + WITHOUT.len()
    );
}

fn leaves(command: &clap::Command, path: &str, names: &mut Vec<String>) {
    let commands = command
        .get_subcommands()
        .filter(|it| it.get_name() != "help");
    for command in commands {
        let name = format!("{path} {}", command.get_name());
        match command.has_subcommands() {
            true => leaves(command, &name, names),
            false => names.push(name.trim().to_owned()),
        }
    }
}

/// Each document of the program is one of the schema. The world of the tests checks each answer; here each command answers once.
#[tokio::test(start_paused = true)]
async fn each_document_is_one_of_the_schema() {
    let world = World::still().await.with_runs().await.with_letters().await;
    let running = world.client.consumer(registry()).with_instance("billing-0");
    let _running = running.with_remote_control().spawn();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let lines = [
        "status",
        "runs ls",
        "runs causes",
        "runs show 7f3c1 --payloads",
        "runs why 7f3c1",
        "runs watch 7f3c1",
        "runs wait 7f3c1 c0ff",
        "runs outcome c0ff",
        "runs resume 7f3c1 7f3c9 --yes 2",
        "runs retry c0ff",
        "runs skip 7f3c1 --step 2 --outcome {\"stdout\":\"byhand\"}",
        "runs report 7f3c9 --step 2 --outcome {}",
        "runs fork c0ff --from 2",
        "runs cancel e01b88",
        "runs purge c0ff 7f3c9 --dry-run",
        "launch billing.Invoice",
        "launch billing.Check --wait --for 5s",
        "send billing.Check",
        "letters ls",
        "letters causes",
        "letters show billing/0/1 --payload",
        "letters export --payload",
        "letters renew billing/0/0",
        "letters replay billing/0/1 --wait 5s",
        "letters discard --topic dice --dry-run",
        "events tail --since 1h --past",
        "consumers ls",
        "consumers show billing-0",
        "consumers pause billing-0 --for 0s --wait 0s",
        "consumers resume billing-0",
        "topics",
        "groups",
        "waiting",
        "consumers drain billing-0 --wait 0s",
    ];
    for line in lines {
        let answer = world.kser(&format!("{line} --json")).await;
        // Refusals of acts on one thing have a document, too.
        let is_answer = !answer.text.is_empty() || !answer.told.is_empty();
        assert!(is_answer, "{line}: {answer:?}");
        assert!(answer.exit != Exit::Usage, "{line}: {answer:?}");
    }
    let schema = schema();
    let commands = schema["x-commands"].as_object().unwrap().keys();
    // The answer of a probe is checked with the process.
    let missing = commands
        .filter(|name| *name != "health" && !lines.iter().any(|it| it.starts_with(name.as_str())));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
}
