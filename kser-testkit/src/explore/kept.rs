use std::fs;
use std::path::PathBuf;

use crate::plan::Plan;

/// What is written at the beginning of a file.
const HEAD: &str =
    "# Runs of this test that failed: each is made first the next time. Commit this file.\n";

/// The runs of a test that failed before: one file for each test, `tests/kser-regressions/<test>.txt` beside the
/// `Cargo.toml` of the package.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    file: Option<PathBuf>,
}

impl Kept {
    /// Those of the test that runs on this thread. There is no file where there is no test, or no cargo.
    pub(super) fn of_this_test() -> Self {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let name = super::test_name().map(|name| name.replace("::", "-"));
        let file = root.zip(name).map(|(root, name)| {
            let folder = root.join("tests").join("kser-regressions");
            folder.join(format!("{name}.txt"))
        });
        Self { file }
    }

    /// Those of no test.
    pub(super) const fn nothing() -> Self {
        Self { file: None }
    }

    /// Reads the runs. What cannot be read is told, and left out.
    pub(super) fn cases(&self) -> Vec<Plan> {
        let file = self.file.as_ref();
        let Some(text) = file.and_then(|file| fs::read_to_string(file).ok()) else {
            return Vec::new();
        };
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let cases = lines.filter_map(|line| match line.parse() {
            Ok(case) => Some(case),
            Err(error) => {
                eprintln!("a run in {:?} is left out: {error}", self.file);
                None
            }
        });
        cases.collect()
    }

    /// Writes a run down, in place of a larger one. Returns the file, as far as it is known to cargo.
    pub(super) fn keep(&self, case: &Plan, instead_of: Option<&Plan>) -> Option<String> {
        let file = self.file.as_ref()?;
        let mut cases = self.cases();
        cases.retain(|kept| Some(kept) != instead_of && kept != case);
        cases.push(case.clone());
        let lines: Vec<String> = cases.iter().map(ToString::to_string).collect();
        fs::create_dir_all(file.parent()?).ok()?;
        fs::write(file, format!("{HEAD}{}\n", lines.join("\n"))).ok()?;
        let name = file.file_name()?.to_string_lossy().into_owned();
        Some(format!("tests/kser-regressions/{name}"))
    }
}
