//! Snapshots that a program holds while it goes on, and the copies that it makes.

use std::path::{Path, PathBuf};

use tophash::sim::SimDisk;

use crate::content::Digest;
use crate::program::Setup;
use crate::subject::{Form, Subject, SubjectSnapshot};

/// What a program holds of earlier moments of its store.
#[derive(Default)]
pub struct Held {
    snapshots: Vec<(SubjectSnapshot, Digest)>,
    copies: usize,
}

impl Held {
    /// Holds a snapshot of a store that has just been checkpointed, with this content.
    pub fn take(&mut self, store: &Subject, content: Digest) -> tophash::Result<()> {
        self.snapshots.push((store.snapshot()?, content));
        Ok(())
    }

    /// Lets go of the snapshots, each of which shows what there was when it was taken.
    pub fn look(&mut self) -> Result<(), String> {
        for (snapshot, then) in self.snapshots.drain(..) {
            let now = Digest::of_snapshot(&snapshot).map_err(|error| format!("{snapshot:?}: {error}"))?;
            if now != then {
                return Err(format!("{snapshot:?} shows {now:?}, not {then:?}"));
            }
        }
        Ok(())
    }

    /// Makes a copy of a store with this content, and looks whether it has all of it.
    pub fn back_up(
        &mut self,
        disk: &SimDisk,
        store: &Subject,
        content: Digest,
    ) -> tophash::Result<Result<(), String>> {
        self.copies += 1;
        let path = PathBuf::from(format!("copy-{}-{}", self.copies, disk.counters().total()));
        store.backup(&path)?;
        Ok(judge_copy(disk, &path, store.form(), content))
    }
}

/// A copy opens, holds this, and verifies.
pub fn judge_copy(disk: &SimDisk, path: &Path, form: Form, content: Digest) -> Result<(), String> {
    let told = |error: tophash::Error| format!("{}: {error}", path.display());
    let copy =
        Subject::open_existing(Setup::ORDINARY.options(disk).read_only(true), path, form).map_err(told)?;
    let found = Digest::of(&copy)?;
    if found != content {
        return Err(format!("{} holds {found:?}, not {content:?}", path.display()));
    }
    let faults = copy.verify().map_err(told)?.faults;
    faults.first().map_or(Ok(()), |fault| Err(format!("{}: {fault}", path.display())))
}
