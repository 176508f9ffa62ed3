use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::environment;
use crate::plan::Plan;

/// The comment at the beginning of a file.
const HEAD: &str =
    "# Runs of this test that failed: each is made first the next time. Commit this file.\n";

/// The runs of a test that failed before. Each test has a file beside the `Cargo.toml` of the package,
/// `tests/kser-regressions/<path>.txt`, where the path is that of its module and its function, the crate included.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    file: Option<PathBuf>,
}

impl Kept {
    /// Returns the kept runs of the test on this thread. There is no file without a test, or without cargo.
    pub(super) fn of_this_test() -> Self {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let file = root.zip(environment::test_path()).map(|(root, path)| {
            let folder = root.join("tests").join("kser-regressions");
            folder.join(format!("{}.txt", path.replace("::", "-")))
        });
        Self { file }
    }

    /// Returns no runs, and keeps none.
    pub(super) const fn nothing() -> Self {
        Self { file: None }
    }

    /// Reads the runs, each with the place where it is written.
    ///
    /// # Panics
    ///
    /// If a line cannot be read, because its failure would not be tried any more.
    #[track_caller]
    pub(super) fn cases(&self) -> Vec<(String, Plan)> {
        let text = self.text();
        let lines = text.lines().enumerate().filter(|(_, line)| is_run(line));
        let cases = lines.map(|(at, line)| {
            let place = format!("{}:{}", self.shown(), at + 1);
            match line.parse() {
                Ok(case) => (place, case),
                Err(error) => panic!("{place} cannot be read, mend it or delete the line: {error}"),
            }
        });
        cases.collect()
    }

    /// Says whether a run is written down.
    pub(super) fn has(&self, case: &Plan) -> bool {
        self.text().lines().any(|line| is(line, case))
    }

    /// Writes a run down, in place of a larger one; all other lines stay as they are. Returns the file, as far as it is
    /// known to cargo. The run in which nothing is out of the ordinary is made anyway, and not written down.
    pub(super) fn keep(&self, case: &Plan, instead_of: Option<&Plan>) -> Option<String> {
        let file = self.file.as_ref()?;
        let before = self.text();
        let written = match before.is_empty() {
            true => HEAD,
            false => &*before,
        };
        let larger = |line: &str| instead_of.is_some_and(|larger| is(line, larger));
        let mut lines: Vec<&str> = written.lines().filter(|line| !larger(line)).collect();
        let (shown, boring) = (case.to_string(), *case == Plan::default());
        if !boring && !lines.iter().any(|line| is(line, case)) {
            lines.push(&shown);
        }
        let after = lines.join("\n") + "\n";
        if !(boring && before.is_empty()) && after != before {
            fs::create_dir_all(file.parent()?).ok()?;
            fs::write(file, after).ok()?;
        }
        (!boring).then(|| self.shown())
    }

    fn text(&self) -> String {
        let Some(file) = &self.file else {
            return String::new();
        };
        match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{} cannot be read: {error}", file.display()),
        }
    }

    /// The file, beside the `Cargo.toml` of the package.
    fn shown(&self) -> String {
        let name = self.file.as_ref().and_then(|file| file.file_name());
        let name = name.unwrap_or_default().to_string_lossy();
        format!("tests/kser-regressions/{name}")
    }
}

/// Says whether a line is a run, and no comment.
fn is_run(line: &str) -> bool {
    !line.starts_with('#') && !line.trim().is_empty()
}

/// Says whether a line is this run.
fn is(line: &str, case: &Plan) -> bool {
    is_run(line) && line.parse().as_ref() == Ok(case)
}
