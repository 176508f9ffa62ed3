//! The contract and its tests say the same: every sentence of the traits' documentation is one rule.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_testkit::rules::{STORE, TRANSPORT};

/// Says what is free, so that there is nothing to test.
const FREE: &[&str] = &["Records without a key have no order."];

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

fn check(file: &str, item: &str, rules: &[(&str, &str, &str)]) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    // In a package, without the workspace around it, there is nothing to compare with.
    let Ok(source) = std::fs::read_to_string(path) else {
        return;
    };
    let mut contract = contract(&source, item);
    for (section, rule, sentence) in rules {
        assert!(
            contract.contains(sentence),
            "{section}::{rule} is about no sentence: {sentence}"
        );
        contract = contract.replacen(sentence, "", 1);
    }
    for sentence in FREE {
        contract = contract.replace(sentence, "");
    }
    let headings = contract.split_whitespace().collect::<Vec<_>>().join(" ");
    let left: Vec<_> = headings
        .split("# ")
        .map(str::trim)
        .filter(|left| !left.is_empty())
        .collect();
    let titles = left.iter().all(|left| left.split(' ').count() <= 2);
    assert!(titles, "these sentences have no test: {left:?}");
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
