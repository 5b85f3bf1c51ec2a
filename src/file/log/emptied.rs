//! The way of an emptied segment back to free space.
//!
//! No cell points into an emptied segment. Two may need it all the same: the state on disk, whose replay may lead through
//! it, and readers who saw a cell before it changed. So it goes in three steps:
//!
//! 1. A checkpoint leaves it out of its catalog. Once that checkpoint is complete, no replay comes here again (D8).
//! 2. When everyone who was pinned then has gone, nobody has a position in it: it leaves the directory.
//! 3. When everyone has gone who may still look through the directory as it was, its mapping and its lease end (C14).
//!
//! Nobody waits for a reader: whoever collects takes the step that is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::file::epoch::{Domain, Pin};
use crate::file::log::Log;
use crate::file::log::segment::Segment;

/// Segments that are left out of the catalog on disk, and wait for readers. Behind the writer lock.
#[derive(Default)]
pub(crate) struct Emptied {
    waiting: Vec<Unseen>,
}

struct Unseen {
    segments: Vec<Arc<Segment>>,
    /// Nobody has a position in them any more. Stored (Release) by whoever collects, loaded (Acquire) under the writer lock.
    ripe: Arc<AtomicBool>,
}

/// Tells when everyone who was pinned at its retirement has gone.
struct Ripen(Arc<AtomicBool>);

impl Drop for Ripen {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Emptied {
    /// Takes segments that no state on disk needs.
    pub(crate) fn push(&mut self, domain: &Domain, segments: Vec<Arc<Segment>>) {
        let ripe = Arc::new(AtomicBool::new(false));
        domain.retire(Ripen(Arc::clone(&ripe)));
        self.waiting.push(Unseen { segments, ripe });
    }

    /// How many segments wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.iter().map(|unseen| unseen.segments.len()).sum()
    }

    /// Takes those out of the directory in which nobody has a position any more; their bytes.
    pub(crate) fn let_go(&mut self, log: &Log, pin: &Pin<'_>) -> u64 {
        let ripe = self.waiting.extract_if(.., |unseen| unseen.ripe.load(Ordering::Acquire));
        let segments: Vec<_> = ripe.flat_map(|unseen| unseen.segments).collect();
        if !segments.is_empty() {
            log.remove(pin, &segments);
        }
        segments.iter().map(|segment| segment.bytes()).sum()
    }
}
