//! The tool itself, where it ends real processes and cuts off real file systems.

mod kill;
mod powercut;

use std::path::Path;
use std::process::Command;

use tophash_crash::scratch::Scratch;

/// Runs the tool with files in `dir`; its exit code, and what it printed.
fn run(arguments: &str, dir: &Path) -> (i32, String) {
    let tool = Command::new(env!("CARGO_BIN_EXE_tophash-crash"))
        .args(arguments.split(' '))
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap();
    let printed = String::from_utf8(tool.stdout).unwrap();
    (tool.status.code().expect("it ended by itself"), printed)
}

/// How many files and directories the tool has left.
fn left(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

fn scratch(test: &str) -> Scratch {
    Scratch::new(None, test).unwrap()
}
