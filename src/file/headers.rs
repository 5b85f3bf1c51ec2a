//! The two header slots: which one counts, and writing the other (D7).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::file::media::Media;
use crate::file::sync::Turn;
use crate::format::header::{self, Chosen, HEADER_BYTES, Header, SLOT_OFFSETS, SlotFault};
use crate::mutants::{Mutant, kept};

/// The header slots of an open file.
pub(crate) struct Headers {
    media: Arc<dyn Media>,
    state: Mutex<State>,
}

struct State {
    /// The last header that is known to be durable.
    durable: Header,
    /// The slot that it stands in.
    slot: usize,
}

impl Headers {
    /// Reads both slots and chooses.
    pub(crate) fn read(media: &dyn Media) -> std::result::Result<Chosen, HeaderFault> {
        let mut slots = [[0; HEADER_BYTES]; 2];
        for (slot, offset) in slots.iter_mut().zip(SLOT_OFFSETS) {
            media.read_at(slot, offset).map_err(|e| HeaderFault::Io(Error::io("reading the header")(e)))?;
        }
        header::choose([&slots[0], &slots[1]]).map_err(HeaderFault::Slot)
    }

    pub(crate) fn new(media: Arc<dyn Media>, chosen: &Chosen) -> Self {
        Headers { media, state: Mutex::new(State { durable: chosen.header, slot: chosen.slot }) }
    }

    /// The last durable header.
    pub(crate) fn durable(&self) -> Header {
        self.lock().durable
    }

    /// Writes `next` with the next sequence number into the slot that does not count, and syncs. If that fails the
    /// header from before still counts.
    pub(crate) fn commit(&self, turn: &Turn<'_>, next: Header) -> Result<Header> {
        let (sequence, slot, step) = {
            let state = self.lock();
            let other = if kept(Mutant::OtherHeaderSlot) { 1 - state.slot } else { state.slot };
            (state.durable.sequence + 1, other, step_of(&state.durable, &next))
        };
        let next = Header { sequence, ..next };
        turn.check()?;
        self.media.write_at(&next.encode(), SLOT_OFFSETS[slot]).map_err(Error::io("writing the header"))?;
        if kept(step) {
            turn.sync()?;
        }
        *self.lock() = State { durable: next, slot };
        Ok(next)
    }

    /// Writes the header that counts once more where it stands: it may have been read from memory only (D13).
    pub(crate) fn rewrite(&self) -> Result<()> {
        let (header, slot) = {
            let state = self.lock();
            (state.durable, state.slot)
        };
        self.media.write_at(&header.encode(), SLOT_OFFSETS[slot]).map_err(Error::io("writing the header"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the sync of `next` is for: what may follow only when it is durable (D1, D6).
fn step_of(durable: &Header, next: &Header) -> Mutant {
    match (durable.journal.offset, next.journal.offset) {
        (0, 0) => Mutant::SessionHeaderSync,
        (_, 0) => Mutant::NextHeaderSyncBeforeFreeing,
        _ => Mutant::HeaderSyncBeforeInPlace,
    }
}

/// Why there is no header.
pub(crate) enum HeaderFault {
    /// It could not be read.
    Io(Error),
    /// It is not valid.
    Slot(SlotFault),
}
