//! The process that is killed: it opens a store, does what its seed says, and acknowledges each step with one byte on
//! its standard output. A pipe keeps what was written when its writer is killed, so whatever was acknowledged has
//! happened.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tophash::Durability;

use crate::session::{Session, Step};
use crate::subject::{Form, Subject};

/// What a worker is to do.
#[derive(clap::Args, Clone, Debug)]
pub struct Task {
    /// The store's file
    #[arg(long)]
    pub path: PathBuf,

    /// The form of the store
    #[arg(long)]
    pub form: Form,

    /// What its sessions do
    #[arg(long)]
    pub seed: u64,

    /// Which of them this is
    #[arg(long)]
    pub session: u64,

    /// Acknowledge what was not done, to see that it is noticed
    #[arg(long)]
    pub lie: Option<Lie>,
}

/// What a worker acknowledges and does not do.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// One operation in ten
    Ops,
    /// Every sync
    Syncs,
}

impl Task {
    /// This program, as the worker that does this.
    pub fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("worker").arg("--path").arg(&self.path);
        command.args(["--seed", &self.seed.to_string(), "--session", &self.session.to_string()]);
        command.args(["--form", self.form.name()]);
        match self.lie {
            Some(Lie::Ops) => command.args(["--lie", "ops"]),
            Some(Lie::Syncs) => command.args(["--lie", "syncs"]),
            None => &mut command,
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// What a worker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Said {
    Opening,
    Opened,
    Acked,
    Syncing,
    Synced,
    Checkpointing,
    Checkpointed,
    Closing,
    Closed,
}

const ALL_SAID: [Said; 9] = [
    Said::Opening,
    Said::Opened,
    Said::Acked,
    Said::Syncing,
    Said::Synced,
    Said::Checkpointing,
    Said::Checkpointed,
    Said::Closing,
    Said::Closed,
];

/// Set in a byte when the table is growing.
const GROWING: u8 = 0x80;

impl Said {
    fn encode(self, growing: bool) -> u8 {
        self as u8 | if growing { GROWING } else { 0 }
    }

    /// What a byte says, and whether the table was growing then.
    pub fn decode(byte: u8) -> Option<(Said, bool)> {
        let said = ALL_SAID.get(usize::from(byte & !GROWING))?;
        Some((*said, byte & GROWING != 0))
    }
}

/// Does a task until it is done, fails, or is killed.
pub fn work(task: &Task) -> Result<(), String> {
    let mut parent = Parent::new().map_err(|error| format!("standard output: {error}"))?;
    let session = Session::new(task.seed, task.form, task.session);
    let options = match task.lie {
        Some(Lie::Syncs) => session.options().durability(Durability::Buffered),
        _ => session.options(),
    };
    parent.tell(Said::Opening, false)?;
    let store = Subject::open(options, &task.path, task.form).map_err(|error| format!("opening: {error}"))?;
    parent.tell_of(Said::Opened, &store)?;
    let mut nth = 0u64;
    for step in session.steps() {
        match step {
            Step::Op(op) => {
                nth += 1;
                if task.lie != Some(Lie::Ops) || !nth.is_multiple_of(10) {
                    op.run(&store).map_err(|error| format!("{op:.80?}: {error}"))?;
                }
                parent.tell_of(Said::Acked, &store)?;
            }
            Step::Sync => {
                parent.tell_of(Said::Syncing, &store)?;
                if task.lie != Some(Lie::Syncs) {
                    store.sync().map_err(|error| format!("syncing: {error}"))?;
                }
                parent.tell_of(Said::Synced, &store)?;
            }
            Step::Checkpoint => {
                parent.tell_of(Said::Checkpointing, &store)?;
                if task.lie != Some(Lie::Syncs) {
                    // A compaction checkpoints, and more than once.
                    let task = if nth.is_multiple_of(3) { Subject::compact } else { Subject::checkpoint };
                    task(&store).map_err(|error| format!("checkpoint: {error}"))?;
                }
                parent.tell_of(Said::Checkpointed, &store)?;
            }
        }
    }
    parent.tell_of(Said::Closing, &store)?;
    store.close().map_err(|error| format!("closing: {error}"))?;
    parent.tell(Said::Closed, false)
}

/// The pipe to the parent, unbuffered.
struct Parent(File);

impl Parent {
    fn new() -> io::Result<Self> {
        Ok(Parent(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    fn tell(&mut self, said: Said, growing: bool) -> Result<(), String> {
        self.0.write_all(&[said.encode(growing)]).map_err(|error| format!("nobody listens: {error}"))
    }

    fn tell_of(&mut self, said: Said, store: &Subject) -> Result<(), String> {
        let growth = store.growth().map_err(|error| format!("growth: {error}"))?;
        self.tell(said, growth.kind.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for said in ALL_SAID {
            for growing in [false, true] {
                assert_eq!(Said::decode(said.encode(growing)), Some((said, growing)));
            }
        }
        assert_eq!(Said::decode(9), None);
    }
}
