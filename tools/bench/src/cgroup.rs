//! A control group with a limit to its memory, page cache included: version 2, or the memory controller of
//! version 1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Removed when dropped; nobody may be in it any longer then.
pub struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// # Errors
    /// No controller, or no right to use it: the message is why a run must be skipped.
    pub fn new(memory_bytes: u64) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let unified = fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory"));
        let (parent, limit_file) = match unified {
            true => (root.to_owned(), "memory.max"),
            false => (root.join("memory"), "memory.limit_in_bytes"),
        };
        let group = parent.join(format!("tophash-bench-{}", std::process::id()));
        fs::create_dir(&group)
            .with_context(|| format!("no control group can be made in {}", parent.display()))?;
        let limit = MemoryLimit(group);
        if unified {
            // The controller may have to be handed down first; where it was, this changes nothing.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        fs::write(limit.0.join(limit_file), memory_bytes.to_string())
            .with_context(|| format!("no limit can be set in {}", limit.0.display()))?;
        Ok(limit)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// Moves this process into the group.
pub fn enter(group: &Path) -> Result<()> {
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
        .with_context(|| format!("entering {}", group.display()))
}
