//! What the tests share: a directory of their own, the binary, and the shipped data.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use tophash::{Options, Store};

/// Lines in the shipped data.
pub const UNICODE_ENTRIES: u64 = 34_924;

/// What a run of the command left.
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// Standard output of a run that was to succeed, and to have nothing to complain about.
    pub fn ok(self) -> Vec<u8> {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""));
        self.stdout
    }

    pub fn ok_text(self) -> String {
        String::from_utf8(self.ok()).unwrap()
    }

    pub fn ok_json(self) -> Value {
        serde_json::from_slice(&self.ok()).unwrap()
    }

    /// The message of a run that was to fail with this exit code, and to print nothing.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stdout.escape_ascii().to_string(), "");
        assert!(self.stderr.starts_with("tophash: "), "{}", self.stderr);
        self.stderr
    }
}

/// A directory that the test runs the command in.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Self {
        Dir(tempfile::tempdir().unwrap())
    }

    /// One with the shipped data in `unicode.tophash`.
    pub fn with_unicode() -> Self {
        static IMPORTED: OnceLock<(Dir, PathBuf)> = OnceLock::new();
        let (_keep, imported) = IMPORTED.get_or_init(|| {
            let dir = Dir::new();
            dir.run(["import", "unicode.tophash", unicode_data(), "--delimiter", ";"]).ok();
            let path = dir.path("unicode.tophash");
            (dir, path)
        });
        let dir = Dir::new();
        fs::copy(imported, dir.path("unicode.tophash")).unwrap();
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Opens a store through the library.
    pub fn store(&self, name: &str) -> Store {
        Options::new().open(self.path(name)).unwrap()
    }

    /// The command, still to be run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tophash"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        run(&mut self.command(arguments))
    }

    pub fn run_with_input<A: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        let mut command = self.command(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        finished(child.wait_with_output().unwrap())
    }
}

pub fn run(command: &mut Command) -> Run {
    finished(command.output().unwrap())
}

/// Runs with standard output into a file.
pub fn run_into(command: &mut Command, stdout: fs::File) -> Run {
    finished(command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap())
}

fn finished(output: std::process::Output) -> Run {
    Run {
        code: output.status.code().expect("not killed by a signal"),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn unicode_data() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/UnicodeData.txt")
}

/// A store whose writer was cut off in the middle of a growth: a copy of the open file.
pub fn crashed_in_growth(dir: &Dir, name: &str) -> u64 {
    // Nobody else writes while the file is copied.
    let store = tophash::Options::new().background(false).open(dir.path("living.tophash")).unwrap();
    let mut entries = 0u64;
    // Far enough that there is a growth worth looking at, and then into the middle of one.
    while entries < 5_000 || store.growth().unwrap().nevacuate == 0 {
        store.insert(format!("key {entries}"), format!("value {entries}")).unwrap();
        entries += 1;
    }
    fs::copy(dir.path("living.tophash"), dir.path(name)).unwrap();
    entries
}

/// The same while the table shrinks.
pub fn crashed_in_shrink(dir: &Dir, name: &str) {
    let store = tophash::Options::new().background(false).open(dir.path("living.tophash")).unwrap();
    (0..2_000).for_each(|n| drop(store.insert(format!("key {n}"), "value").unwrap()));
    let removed = (0..2_000).take_while(|n| {
        store.remove(format!("key {n}")).unwrap();
        let growth = store.growth().unwrap();
        !(growth.kind == Some(tophash::report::GrowthKind::Shrink) && growth.nevacuate > 9)
    });
    assert!(removed.count() < 1_999, "there is a shrink");
    fs::copy(dir.path("living.tophash"), dir.path(name)).unwrap();
}

/// Changes one byte where `bytes` begin in a file.
pub fn damage(path: &Path, bytes: &[u8]) {
    let mut file = fs::read(path).unwrap();
    let at = file.windows(bytes.len()).position(|window| window == bytes).unwrap();
    file[at] ^= 0x10;
    fs::write(path, file).unwrap();
}
