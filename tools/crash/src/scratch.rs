//! Directories of a run, gone with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory of this process, removed when dropped. One that a process of this tool left because it was killed is
/// removed by the next.
pub struct Scratch(PathBuf);

impl Scratch {
    /// In `base`, or where temporary files are.
    pub fn new(base: Option<&Path>, name: &str) -> io::Result<Self> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        fs::create_dir_all(&base)?;
        let name = format!("tophash-crash-{name}-");
        for entry in fs::read_dir(&base)?.flatten() {
            let of = entry.file_name().to_str().and_then(|it| it.strip_prefix(&name)?.parse::<u32>().ok());
            if of.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
                // Another process may be removing it at the same time.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let path = base.join(format!("{name}{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves it there, for a look at what is wrong with it, under a name that no later process removes.
    pub fn keep(mut self) -> PathBuf {
        let path = std::mem::take(&mut self.0);
        let mut kept = path.clone().into_os_string();
        kept.push("-kept");
        if fs::rename(&path, &kept).is_ok() { kept.into() } else { path }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_processes_left_is_removed_and_nothing_else() {
        let outer = Scratch::new(None, "test").unwrap();
        let base = outer.path().join("base");
        // No process has the largest number.
        for name in ["tophash-crash-test-4294967295", "tophash-crash-test-1", "other"] {
            fs::create_dir_all(base.join(name).join("deep")).unwrap();
        }
        let scratch = Scratch::new(Some(&base), "test").unwrap();
        assert!(scratch.path().is_dir());
        assert!(!base.join("tophash-crash-test-4294967295").exists());
        assert!(base.join("tophash-crash-test-1").exists() && base.join("other").exists());
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_kept_is_never_removed() {
        let outer = Scratch::new(None, "test-kept").unwrap();
        let base = outer.path().join("base");
        // As if of a process that is gone.
        let of_another = Scratch(base.join("tophash-crash-test-4294967295"));
        fs::create_dir_all(of_another.path().join("evidence")).unwrap();
        let kept = of_another.keep();
        drop(Scratch::new(Some(&base), "test").unwrap());
        assert!(kept.join("evidence").exists(), "{}", kept.display());
    }
}
