//! The compiler names each mistake: `errors/*.rs` fail to compile with the text in the `.stderr` beside each.
//!
//! The text is that of one compiler, of the version that `rust-version` in Cargo.toml names. With any other the test does
//! nothing. `TRYBUILD=overwrite` writes the texts anew.

use std::process::Command;

#[test]
fn the_compiler_says_what_is_wrong() {
    match is_the_pinned_compiler() {
        true => trybuild::TestCases::new().compile_fail("tests/errors/*.rs"),
        false => println!("not tested: the compiler is another one"),
    }
}

fn is_the_pinned_compiler() -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let output = output.expect("cargo has run the compiler before");
    let pinned = format!("rustc {}.", env!("CARGO_PKG_RUST_VERSION"));
    String::from_utf8_lossy(&output.stdout).starts_with(&pinned)
}
