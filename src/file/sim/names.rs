//! The names of files: what programs see, and what is durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::random::Random;

/// A file without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

/// One change of a directory that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Create(PathBuf, FileId),
    /// Without replacing anything.
    Rename(PathBuf, PathBuf, FileId),
    Remove(PathBuf),
}

impl Change {
    /// Does it, as far as what came before it has been done too.
    fn apply(&self, names: &mut BTreeMap<PathBuf, FileId>) {
        match self {
            Change::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Change::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn directory(&self) -> Option<&Path> {
        let (Change::Create(path, _) | Change::Rename(path, ..) | Change::Remove(path)) = self;
        path.parent()
    }

    fn file(&self) -> Option<FileId> {
        match self {
            Change::Create(_, file) | Change::Rename(_, _, file) => Some(*file),
            Change::Remove(_) => None,
        }
    }
}

/// All names of a disk. Directories are there as soon as a file in them is.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    current: BTreeMap<PathBuf, FileId>,
    durable: BTreeMap<PathBuf, FileId>,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<FileId> {
        self.current.get(path).copied()
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.current.keys()
    }

    pub(super) fn create(&mut self, path: &Path, file: FileId) {
        self.change(Change::Create(path.to_owned(), file));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, file: FileId) {
        self.change(Change::Rename(from.to_owned(), to.to_owned(), file));
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change::Remove(path.to_owned()));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Makes the names in the directory of `path` durable.
    pub(super) fn sync(&mut self, path: &Path) {
        let Names { durable, pending, .. } = self;
        pending.retain(|change| {
            let here = change.directory() == path.parent();
            if here {
                change.apply(durable);
            }
            !here
        });
    }

    /// Gives a file a durable name.
    pub(super) fn put(&mut self, path: &Path, file: FileId) {
        self.current.insert(path.to_owned(), file);
        self.durable.insert(path.to_owned(), file);
    }

    /// Whether a name leads to `file` now.
    pub(super) fn leads_to(&self, file: FileId) -> bool {
        self.current.values().any(|id| *id == file)
    }

    /// Whether any name leads to `file`, now or after some crash.
    pub(super) fn mention(&self, file: FileId) -> bool {
        let pending = self.pending.iter().filter_map(Change::file);
        self.current.values().chain(self.durable.values()).copied().chain(pending).any(|id| id == file)
    }

    /// The names after a power cut: each change that is not durable survives or not, on its own.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Names {
        let mut durable = self.durable.clone();
        for change in &self.pending {
            if random.coin() {
                change.apply(&mut durable);
            }
        }
        Names { current: durable.clone(), durable, pending: Vec::new() }
    }
}
