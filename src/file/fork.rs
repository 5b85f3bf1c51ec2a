//! Telling a forked child from the process that opened a store (C15). Without this, a child that ends would write a clean
//! header into its parent's file and give back what its parent uses.
//!
//! Processes are numbered by generation: whoever opens a store first is 1, its children are 2, theirs 3. Handles are
//! inherited downward only, so a generation is enough to tell whose one is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::file::region::Region;
use crate::format::PAGE_BYTES;
use crate::seam::Words;

/// A page that reads as zeros in a forked child, until the child opens a store of its own; else the generation of this
/// process.
static MARK: OnceLock<Option<Region>> = OnceLock::new();

/// The generation that the last writer of the mark had. A child inherits its parent's.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The process that opened a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    generation: u64,
    /// Where a forked child finds 0; none where the system can't tell.
    mark: Option<&'static Region>,
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Self {
        // Acquire, and before the mark is looked at: who finds LAST raised by another thread finds the mark set, so
        // that threads which come here together agree on one generation.
        let last = LAST.load(Ordering::Acquire);
        let Some(mark) = mark() else { return Process { generation: 0, mark: None } };
        let marked = mark.load(0, Ordering::Acquire);
        if marked != 0 {
            return Process { generation: marked, mark: Some(mark) };
        }
        mark.store(0, last + 1, Ordering::Release);
        LAST.store(last + 1, Ordering::Release);
        Process { generation: last + 1, mark: Some(mark) }
    }

    /// Refuses to go on in a process that was forked from this one.
    #[inline]
    pub(crate) fn check(self) -> Result<()> {
        match self.mark {
            Some(mark) if mark.load(0, Ordering::Relaxed) != self.generation => Err(Error::Forked),
            _ => Ok(()),
        }
    }
}

fn mark() -> Option<&'static Region> {
    if MARK.get().is_none() {
        let page = Region::anonymous(PAGE_BYTES as usize).ok().filter(|page| page.wipe_on_fork().is_ok());
        // Made before the cell is taken: a child that is forked meanwhile would wait for ever for a thread that it has not.
        let _ = MARK.set(page);
    }
    MARK.get()?.as_ref()
}
