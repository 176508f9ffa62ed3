//! Finds out whether this machine has a browser that the tests can start, and chooses the folder for its pictures.

use std::env::var_os;
use std::path::{Path, PathBuf};

/// The programs that the tests can start, the lightest first.
const PROGRAMS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "google-chrome",
    "chrome-headless-shell",
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(browser)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=BROWSER_TESTS_HOME={}", home().display());
    match program() {
        Some(program) => {
            println!("cargo::rustc-cfg=browser");
            println!(
                "cargo::rustc-env=BROWSER_TESTS_PROGRAM={}",
                program.display()
            );
        }
        None => {
            println!("cargo::rustc-env=BROWSER_TESTS_PROGRAM=");
            // A file that never exists: the next build checks again, when the browser may be installed.
            println!("cargo::rerun-if-changed=missing");
            let text = "Chromium is not installed (chromium-headless-shell): no browser can be started for the tests";
            if var_os("CI").is_some_and(|value| !value.is_empty()) {
                println!("cargo::error={text}, and CI is set, so none may be left out");
            } else {
                println!("cargo::warning={text}; those that need it are ignored");
            }
        }
    }
}

fn program() -> Option<PathBuf> {
    let path = var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut programs = PROGRAMS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // The browser is spoken to through pipes with the numbers 3 and 4, which a shell opens.
    programs.find(|program| cfg!(unix) && program.is_file())
}

/// Returns a folder in cargo's target folder that all profiles share.
fn home() -> PathBuf {
    let out = PathBuf::from(var_os("OUT_DIR").expect("cargo tells every build script its folder"));
    // `target/debug/build/browser-tests-0123/out`
    let marked = out
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let target = marked.or_else(|| out.ancestors().nth(4));
    target
        .map_or_else(|| out.clone(), Path::to_path_buf)
        .join("browser-tests")
}
