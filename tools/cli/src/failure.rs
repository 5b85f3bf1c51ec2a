//! What can go wrong, and the exit code of each.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::text::Malformed;

const NOT_FOUND: u8 = 1;
const USAGE: u8 = 2;
const CORRUPT: u8 = 3;
const LOCKED: u8 = 4;
const IO: u8 = 5;
const VERSION: u8 = 6;

pub enum Failure {
    /// A key or a bucket is not there.
    NotFound(String),
    /// The arguments make no sense together.
    Usage(String),
    /// A line of the input is not an entry.
    Malformed { input: String, line: u64, why: Malformed, kept: Kept },
    /// Faults that `verify` has already listed.
    Faults,
    /// The store did not open.
    Open { file: PathBuf, source: tophash::Error },
    /// The open store refused.
    Store(tophash::Error),
    /// Reading the input or making the output failed.
    Io { what: String, source: io::Error },
    /// Writing to standard output failed.
    Output(io::Error),
}

/// What becomes of the lines before one that is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// They are in the store.
    LinesBefore,
    /// All lines belong together.
    Nothing,
}

impl Failure {
    /// The same, where a line that is wrong makes all others void.
    pub fn all_or_none(self) -> Failure {
        match self {
            Failure::Malformed { input, line, why, .. } => {
                Failure::Malformed { input, line, why, kept: Kept::Nothing }
            }
            other => other,
        }
    }

    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        move |source| Failure::Io { what: what.into(), source }
    }

    pub fn open(file: &Path) -> impl FnOnce(tophash::Error) -> Failure {
        move |source| Failure::Open { file: file.to_owned(), source }
    }

    /// Tells the user, and returns the exit code.
    pub fn report(self) -> ExitCode {
        if let Failure::Output(error) = &self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Whoever read the output has seen enough (`tophash dump FILE | head`): that is no failure.
            return ExitCode::SUCCESS;
        }
        if let Some(message) = self.message() {
            // Standard error may be closed, and then there is nobody to tell.
            let _ = io::Write::write_fmt(&mut anstream::stderr(), format_args!("tophash: {message}\n"));
        }
        ExitCode::from(self.exit_code())
    }

    fn message(&self) -> Option<String> {
        match self {
            Failure::NotFound(what) | Failure::Usage(what) => Some(what.clone()),
            Failure::Malformed { input, line, why, kept } => {
                let before = match line - 1 {
                    _ if *kept == Kept::Nothing => "nothing was changed".to_owned(),
                    0 => "nothing was imported".to_owned(),
                    1 => "the line before it was imported".to_owned(),
                    lines => format!("the {lines} lines before it were imported"),
                };
                Some(format!("{input}, line {line}: {why}; {before}"))
            }
            Failure::Faults => None,
            Failure::Open { source, .. } if names_its_file(source) => Some(source.to_string()),
            Failure::Open { file, source } => Some(format!("{}: {source}", file.display())),
            Failure::Store(source) => Some(source.to_string()),
            Failure::Io { what, source } => Some(format!("{what}: {source}")),
            Failure::Output(source) => Some(format!("standard output: {source}")),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Failure::NotFound(_) => NOT_FOUND,
            Failure::Usage(_) | Failure::Malformed { .. } => USAGE,
            Failure::Faults => CORRUPT,
            Failure::Open { source, .. } | Failure::Store(source) => code_of(source),
            Failure::Io { .. } | Failure::Output(_) => IO,
        }
    }
}

fn names_its_file(error: &tophash::Error) -> bool {
    matches!(error, tophash::Error::Locked { .. } | tophash::Error::NotTophash { .. })
}

fn code_of(error: &tophash::Error) -> u8 {
    use tophash::Error;
    match error {
        // Naming a file that is not ours is a slip of the hand, not damage.
        Error::NotTophash { .. } | Error::TooLarge { .. } => USAGE,
        Error::Schema { .. } | Error::Width { .. } | Error::Decode { .. } | Error::Overflow { .. } => USAGE,
        Error::Corrupt { .. } => CORRUPT,
        Error::Locked { .. } => LOCKED,
        Error::Version { .. } => VERSION,
        _ => IO,
    }
}

impl From<tophash::Error> for Failure {
    fn from(source: tophash::Error) -> Self {
        Failure::Store(source)
    }
}

/// The only `io::Error` that travels by `?` is that of standard output; input and files are named with
/// [`Failure::io`].
impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Failure::Output(source)
    }
}
