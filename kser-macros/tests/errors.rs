//! The compiler names each mistake: `errors/*.rs` fail to compile with the text in the `.stderr` beside each.
//!
//! The text is that of one compiler, of the version that `rust-version` in Cargo.toml names. With any other the test counts as
//! ignored. `TRYBUILD=overwrite` writes the texts anew.

use std::process::Command;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let says = Trial::test("the_compiler_says_what_is_wrong", || {
        trybuild::TestCases::new().compile_fail("tests/errors/*.rs");
        Ok(())
    });
    let says = says.with_ignored_flag(!is_the_pinned_compiler());
    libtest_mimic::run(&Arguments::from_args(), vec![says]).exit();
}

fn is_the_pinned_compiler() -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let output = output.expect("cargo has run the compiler before");
    let pinned = format!("rustc {}.", env!("CARGO_PKG_RUST_VERSION"));
    String::from_utf8_lossy(&output.stdout).starts_with(&pinned)
}
