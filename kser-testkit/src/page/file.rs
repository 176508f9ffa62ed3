use std::fs;
use std::path::{Path, PathBuf};

use crate::environment;

/// Writes the page of the test on this thread, in place of an earlier one. Returns a line that names the file.
pub(crate) fn write(page: &str) -> String {
    let test = environment::test_path().unwrap_or_else(|| "simulation".to_owned());
    let folder = target().join("kser");
    let file = folder.join(format!("{}.html", name(&test)));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, page));
    let file = file.display();
    match written {
        Ok(()) => format!("to look at it: {file}"),
        Err(error) => format!("cannot be looked at, because {file} is not written: {error}"),
    }
}

/// Returns the target folder of cargo: the folder in which cargo has built the test program, or else the folder that the
/// environment names.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    if let Some(folder) = built_in(&program) {
        return folder.to_owned();
    }
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
            package.unwrap_or_default().join("target")
        }
    }
}

/// Returns the target folder of a program, which cargo builds as `target/<profile>/deps/<program>`, or as
/// `target/<platform>/<profile>/deps/<program>`. Cargo marks the folder.
fn built_in(program: &Path) -> Option<&Path> {
    let folder = program.parent().filter(|folder| folder.ends_with("deps"))?;
    let folder = folder.parent()?.parent()?;
    let is_marked = |folder: &Path| folder.join("CACHEDIR.TAG").is_file();
    let above = folder
        .parent()
        .filter(|above| is_marked(above) && !is_marked(folder));
    Some(above.unwrap_or(folder))
}

/// Makes the name of a file of the path of a test.
fn name(test: &str) -> String {
    let plain = test.replace("::", "-");
    let keep = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let safe = plain
        .chars()
        .map(|char| if keep(char) { char } else { '_' });
    safe.take(150).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_built_in_a_target_folder() {
        for (program, folder) in [
            (
                "/shop/target/debug/deps/checkout-0123",
                Some("/shop/target"),
            ),
            ("/elsewhere/release/deps/checkout", Some("/elsewhere")),
            ("/usr/bin/checkout", None),
        ] {
            assert_eq!(built_in(Path::new(program)), folder.map(Path::new));
        }
    }

    #[test]
    fn a_file_has_the_name_of_its_test() {
        for (test, file) in [
            ("checkout::cards::once", "checkout-cards-once"),
            ("a::../../etc/passwd", "a-.._.._etc_passwd"),
            ("größe::x", "gr__e-x"),
        ] {
            assert_eq!(name(test), file);
        }
        assert_eq!(name(&"x".repeat(1000)).len(), 150);
    }
}
