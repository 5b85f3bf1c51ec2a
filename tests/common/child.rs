//! A child process: the test binary once more, which runs its test `child` and nothing else.
//!
//! The two talk in lines. What the child [`say`]s the parent reads; the child [`wait`]s until the parent lets it go
//! on. A pipe keeps what was written when its writer is killed, so whatever the child said has happened.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

const TASK: &str = "TOPHASH_TEST_CHILD";
/// Tells what a child says from what the test harness prints.
const MARK: &str = "> ";

/// A running child; killed when dropped.
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts a child that is to do `task` with the file at `path`.
    pub fn start(task: &str, path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(TASK, format!("{task}|{}", path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Child { process, input, output }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the child says next; `None` once it has ended.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.strip_prefix(MARK) {
                return Some(said.trim_end().to_owned());
            }
        }
    }

    /// Lets the child go on.
    pub fn go_on(&mut self) {
        self.input.write_all(b"g").unwrap();
    }

    /// SIGKILL. What the child said that was not heard yet.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::iter::from_fn(|| self.hear()).collect()
    }

    /// Waits for the end of a child that ends by itself, well.
    #[track_caller]
    pub fn expect_success(mut self) {
        while self.hear().is_some() {}
        assert!(self.process.wait().unwrap().success(), "the child failed");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: its task and its file. `None` in the process that runs the tests.
pub fn task() -> Option<(String, PathBuf)> {
    let task = std::env::var(TASK).ok()?;
    let (task, path) = task.split_once('|')?;
    // The harness has begun a line of its own.
    println!();
    Some((task.to_owned(), path.into()))
}

/// In a child: tells the parent.
pub fn say(what: impl std::fmt::Display) {
    println!("{MARK}{what}");
}

/// In a child: waits until the parent lets it go on.
pub fn wait() {
    std::io::stdin().read_exact(&mut [0]).unwrap();
}
