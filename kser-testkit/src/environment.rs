//! Reads the environment of the test: variables, of which nonsense is an error, and the name of the test.

use std::env::{VarError, var};
use std::path::Path;

/// Reads a number.
///
/// # Panics
///
/// When it is none.
#[track_caller]
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = text(name)?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name} is {text:?}, and should be a whole number"),
    }
}

/// Reads a text.
///
/// # Panics
///
/// When it is none.
#[track_caller]
pub(crate) fn text(name: &str) -> Option<String> {
    match var(name) {
        Ok(text) => Some(text),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(text)) => panic!("{name} is {text:?}, and should be text"),
    }
}

/// Returns the name of the test that runs on this thread: libtest gives it to the thread.
pub(crate) fn test_name() -> Option<String> {
    let name = std::thread::current().name().map(ToOwned::to_owned);
    name.filter(|name| name != "main")
}

/// Returns the path of the test that runs on this thread, such as `checkout::cards::a_card_is_charged_once`: the test program, which
/// cargo names after its crate, and the name of the test. Two programs of a package may have tests of one name.
pub(crate) fn test_path() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    Some(format!("{}::{}", crate_of(&program)?, test_name()?))
}

/// Returns the crate of a program that cargo has built: the name of the file without the hash.
fn crate_of(program: &Path) -> Option<&str> {
    let name = program.file_stem()?.to_str()?;
    let is_hash = |end: &str| end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(match name.rsplit_once('-') {
        Some((name, end)) if is_hash(end) => name,
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_name_of_its_crate() {
        for (program, name) in [
            ("/target/debug/deps/checkout-0123456789abcdef", "checkout"),
            ("target/debug/deps/my_shop-fedcba9876543210.exe", "my_shop"),
            ("/usr/bin/checkout-tests", "checkout-tests"),
            ("checkout", "checkout"),
        ] {
            assert_eq!(crate_of(Path::new(program)), Some(name));
        }
    }

    #[test]
    fn a_test_has_the_path_of_its_module_and_its_crate() {
        let path =
            "kser_testkit::environment::tests::a_test_has_the_path_of_its_module_and_its_crate";
        assert_eq!(test_path().as_deref(), Some(path));
    }
}
