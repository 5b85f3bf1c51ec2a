//! Syncs, one at a time, and the poison that a failed one leaves.
//!
//! Linux reports a write-back error once per open file: of two syncs in flight, one could succeed over data that
//! the other has just lost. So syncs take turns, and the handle is poisoned before the next turn begins (D5).

use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::mutants::{Mutant, kept};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// The one way to sync a store's file.
pub(crate) struct Syncer {
    media: Arc<dyn Media>,
    turn: Mutex<()>,
    /// Set in the turn that failed, before it ends.
    poisoned: AtomicBool,
}

/// The right to sync.
pub(crate) struct Turn<'s> {
    syncer: &'s Syncer,
    _turn: Option<MutexGuard<'s, ()>>,
}

impl Syncer {
    pub(crate) fn new(media: Arc<dyn Media>) -> Self {
        Syncer { media, turn: Mutex::new(()), poisoned: AtomicBool::new(false) }
    }

    /// Waits for the turn. Taken before the writer lock, never while holding it.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let lock = || self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Turn { syncer: self, _turn: kept(Mutant::SyncsTakeTurns).then(lock) }
    }

    /// Waits for the turn and syncs.
    pub(crate) fn sync(&self) -> Result<()> {
        self.turn().sync()
    }

    /// Refuses once a sync has failed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }
}

impl Turn<'_> {
    /// Refuses once a sync has failed: nothing is written any more then.
    pub(crate) fn check(&self) -> Result<()> {
        self.syncer.check()
    }

    /// Makes everything written so far durable, or poisons the handle.
    pub(crate) fn sync(&self) -> Result<()> {
        self.syncer.check()?;
        self.syncer.media.sync().map_err(|source| {
            self.syncer.poisoned.store(kept(Mutant::PoisonAfterFailedSync), Ordering::Release);
            Error::Io { action: "sync", source }
        })
    }
}
