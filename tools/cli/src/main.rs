//! The binary of [`tophash_cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tophash_cli::main()
}
