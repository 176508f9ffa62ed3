//! The contract and its tests say the same: every sentence of the traits' documentation is a rule.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_testkit::rules::{Rule, STORE, TRANSPORT};

/// Says what is free, so that there is nothing to test.
const FREE: &[&str] = &[
    "Records without a key have no order.",
    "Either may return for no reason.",
];

#[test]
fn every_sentence_of_the_transport_contract_is_a_rule() {
    check(
        "../kser-core/src/transport.rs",
        "pub trait Transport",
        TRANSPORT,
    );
}

#[test]
fn every_sentence_of_the_store_contract_is_a_rule() {
    check(
        "../kser-core/src/store/mod.rs",
        "pub trait StateStore",
        STORE,
    );
}

fn check<H>(file: &str, item: &str, rules: &[Rule<H>]) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    // In a package, without the workspace around it, there is nothing to compare with.
    let Ok(source) = std::fs::read_to_string(path) else {
        return;
    };
    let contract = contract(&source, item);
    for (index, rule) in rules.iter().enumerate() {
        assert!(
            contract.contains(rule.sentence),
            "about no sentence: {rule:?}"
        );
        let twice = rules[..index].iter().any(|other| other.name == rule.name);
        assert!(!twice, "two tests have one name: {rule:?}");
        let (heading, title) = section(&contract, rule.sentence);
        assert_eq!(heading, rule.section, "{rule:?} is in the section {title}");
    }
    let mut left = contract;
    let sentences = rules.iter().map(|rule| rule.sentence);
    for sentence in sentences.chain(FREE.iter().copied()) {
        left = left.replace(sentence, "");
    }
    let titles = left.split("# ").map(str::trim);
    let untested: Vec<_> = titles.filter(|left| left.contains(['.', ':'])).collect();
    assert!(untested.is_empty(), "these have no test: {untested:?}");
}

/// The heading above a sentence, as a module is called and as it stands there.
fn section<'a>(contract: &'a str, sentence: &str) -> (String, &'a str) {
    let before = &contract[..contract.find(sentence).unwrap()];
    let title = &before[before.rfind("# ").unwrap() + 2..];
    let words = title.split(' ').take_while(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    match words.as_slice() {
        ["Cancel", "safety", ..] => ("cancel_safety".to_owned(), title),
        _ => (words[0].to_lowercase(), title),
    }
}

/// The sections of an item's documentation, on one line.
fn contract(source: &str, item: &str) -> String {
    let before = &source[..source.find(item).unwrap()];
    let lines = before.lines().rev();
    let lines = lines.skip_while(|line| !line.starts_with("///"));
    let lines = lines.take_while(|line| line.starts_with("///"));
    let mut docs: Vec<_> = lines
        .map(|line| line.trim_start_matches("///").trim())
        .collect();
    docs.reverse();
    let docs = docs.join(" ");
    docs[docs.find("# ").unwrap()..]
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
