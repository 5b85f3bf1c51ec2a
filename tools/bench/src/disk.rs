//! What a store takes, on disk and in memory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Blocks that are allocated to the files below this directory: holes take none.
pub fn allocated_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => allocated_bytes(&entry.path())?,
            false => entry.metadata()?.blocks() * BLOCK_BYTES,
        };
    }
    Ok(bytes)
}

/// Memory of this process that no file stands behind.
pub fn anonymous_memory_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_no_blocks_and_directories_are_entered() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/full"), vec![1; 100_000]).unwrap();
        fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let bytes = allocated_bytes(dir.path()).unwrap();
        assert!((100_000..1 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn memory_that_is_taken_is_counted() {
        let taken = std::hint::black_box(vec![1_u8; 64 << 20]);
        // Other tests in this process take and give back some, but not as much.
        let bytes = anonymous_memory_bytes().unwrap();
        assert!((64 << 20..16 << 30).contains(&bytes), "{bytes} with {} taken", taken.len());
    }
}
