//! Runs the corpus of the fuzz target `open`.

mod check;

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/open");
    let mut files = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        check::check(&std::fs::read(file.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0);
}
