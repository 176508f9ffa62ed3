//! The program `kser`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kser_cli::main()
}
