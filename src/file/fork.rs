//! Telling a forked child from the process that opened a store (C15). Without this, a child that ends would write a clean
//! header into its parent's file and give back what its parent uses.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::file::region::Region;
use crate::format::PAGE_BYTES;
use crate::seam::Words;

/// A page that reads as zeros in a forked child.
static PARENT: OnceLock<Option<Region>> = OnceLock::new();

/// Refuses to go on in a process that was forked from the one that opened the store (C15).
#[inline]
pub(crate) fn check_fork() -> Result<()> {
    let mark = PARENT.get_or_init(|| {
        let page = Region::anonymous(PAGE_BYTES as usize).ok()?;
        page.wipe_on_fork().ok()?;
        page.store(0, 1, Ordering::Relaxed);
        Some(page)
    });
    match mark {
        Some(page) if page.load(0, Ordering::Relaxed) == 0 => Err(Error::Forked),
        _ => Ok(()),
    }
}
