//! Reading and writing a store of the inline layout, whose cells hold keys and values themselves.
//!
//! Keys and values are bytes of exactly the widths in the file's header; [`Map`](crate::Map) makes them of types. A write goes
//! as it does in the record layout, but that the cell gets what the record says instead of the record's place. So a record
//! is needed for a replay alone: none is live, and the segments behind a checkpoint are free, as if they had been emptied.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::MutexGuard;

use crate::error::Result;
use crate::file::epoch::Pin;
use crate::file::log::writer::Purpose;
use crate::file::pages::IndexPages;
use crate::format::bucket::Hash;
use crate::format::record::{Frame, Kind};
use crate::format::schema::{Layout, MAX_INLINE_BYTES};
use crate::mutants::{Mutant, kept};
use crate::store::Store;
use crate::store::core::{Core, Files, Writer};
use crate::store::growth::GrowthRecord;
use crate::store::iter::PinnedWalk;
use crate::table::{InlineCells, InlineEntry, InlineKey, InlinePut, Slot, Spot, Trigger, Walk};
use crate::table::{lookup, peek, prefetch_to_change};

/// What becomes of an entry that was looked at under the writer lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It stays as it is.
    Keep,
    /// It gets the value that was left in the buffer.
    Put,
    /// It goes.
    Remove,
}

impl Store {
    /// Copies the value of a key to `elem`; false, and `elem` may hold anything, where the key is absent.
    #[inline]
    pub(crate) fn inline_get(&self, key: &[u8], elem: &mut [u8]) -> Result<bool> {
        self.core().inline_get(key, elem)
    }

    /// Sets the value of a key; the one before is copied to `old`, where there is one.
    #[inline]
    pub(crate) fn inline_insert(&self, key: &[u8], elem: &[u8], old: &mut [u8]) -> Result<bool> {
        self.write(|core| core.with_room(|| core.inline_insert(key, elem, old)))
    }

    /// Removes a key; its value is copied to `old`. False, and nothing changes, where it is absent.
    #[inline]
    pub(crate) fn inline_remove(&self, key: &[u8], old: &mut [u8]) -> Result<bool> {
        self.write(|core| core.inline_remove(key, old))
    }

    /// Copies the value of a key to `elem`, tells `change` whether there is one, and does what that says, all under the
    /// writer lock; whether the key was there before.
    pub(crate) fn inline_update(
        &self,
        key: &[u8],
        elem: &mut [u8],
        change: impl FnOnce(bool, &mut [u8]) -> Change,
    ) -> Result<bool> {
        self.write(|core| core.inline_update(key, elem, Purpose::Add, change))
    }

    /// Removes a key if its value, which is copied to `elem`, is `seen`; whether it was.
    pub(crate) fn inline_remove_seen(&self, key: &[u8], elem: &mut [u8], seen: &[u8]) -> Result<bool> {
        let mut same = false;
        let mut change = |present, elem: &mut [u8]| {
            same = present && elem == seen;
            if same { Change::Remove } else { Change::Keep }
        };
        self.write(|core| core.with_room(|| core.inline_update(key, elem, Purpose::Free, &mut change)))?;
        Ok(same)
    }

    /// Every entry, as [`Store::iter`] yields them.
    pub(crate) fn inline_iter(&self) -> InlineIter<'_> {
        InlineIter { walk: PinnedWalk::new(self.core()), cells: self.core().inline_cells() }
    }
}

/// A key that nobody else can change now.
struct Held<'k, 'p> {
    core: &'p Core,
    files: &'p Files,
    writer: MutexGuard<'p, Writer>,
    key: &'k [u8],
    hash: Hash,
    spot: Spot<InlineKey<'k>>,
}

impl Core {
    /// How the cells hold keys and values.
    pub(super) fn layout(&self) -> Layout {
        self.opened_with.identity.schema.layout
    }

    /// The cells of the inline layout.
    #[inline]
    pub(super) fn inline_cells(&self) -> InlineCells<'_> {
        InlineCells::of(self.layout(), &self.hasher)
    }

    #[inline]
    fn inline_get(&self, key: &[u8], elem: &mut [u8]) -> Result<bool> {
        let hash = self.hasher.hash(key);
        self.inline_get_under(&self.pin()?, hash, key, elem)
    }

    /// [`Core::inline_get`] under a pin.
    #[inline]
    pub(super) fn inline_get_under(
        &self,
        pin: &Pin<'_>,
        hash: Hash,
        key: &[u8],
        elem: &mut [u8],
    ) -> Result<bool> {
        let mut copy = |slot: Slot<'_, IndexPages>| slot.read_if(key, elem).then_some(());
        match peek(self.published(pin), hash, |slot| Some(copy(slot))) {
            Some(decided) => Ok(decided.is_some()),
            None => self.inline_get_anywhere(pin, hash, key, elem),
        }
    }

    /// [`Core::inline_get`] for the few keys that a look at one bucket does not decide.
    #[inline(never)]
    fn inline_get_anywhere(&self, pin: &Pin<'_>, hash: Hash, key: &[u8], elem: &mut [u8]) -> Result<bool> {
        let copy = |slot: Slot<'_, IndexPages>| Ok(slot.read_if(key, elem).then_some(()));
        Ok(lookup(|| self.published(pin), hash, copy)?.is_some())
    }

    #[inline]
    fn inline_insert(&self, key: &[u8], elem: &[u8], old: &mut [u8]) -> Result<bool> {
        let held = self.hold_inline(key, old, Purpose::Add)?;
        let existed = held.spot.is_taken();
        held.put(elem)?;
        Ok(existed)
    }

    #[inline]
    fn inline_remove(&self, key: &[u8], old: &mut [u8]) -> Result<bool> {
        self.with_room(|| {
            let held = self.hold_inline(key, old, Purpose::Free)?;
            // An absent key appends nothing and so must move nothing (D15).
            let existed = held.spot.is_taken();
            if existed {
                held.remove()?;
            }
            Ok(existed)
        })
    }

    fn inline_update(
        &self,
        key: &[u8],
        elem: &mut [u8],
        purpose: Purpose,
        change: impl FnOnce(bool, &mut [u8]) -> Change,
    ) -> Result<bool> {
        let held = self.hold_inline(key, elem, purpose)?;
        let existed = held.spot.is_taken();
        // If it panics the lock goes first, without a word about the panic: nothing has changed, and others may write.
        match catch_unwind(AssertUnwindSafe(|| self.call(|| change(existed, elem)))) {
            Ok(Change::Put) => held.put(elem)?,
            Ok(Change::Remove) if existed => held.remove()?,
            Ok(Change::Keep | Change::Remove) => {}
            Err(panic) => {
                drop(held);
                resume_unwind(panic)
            }
        }
        Ok(existed)
    }

    /// Takes the writer lock and finds the key, whose value is copied to `elem`.
    #[inline(always)]
    fn hold_inline<'k, 'p>(
        &'p self,
        key: &'k [u8],
        elem: &mut [u8],
        purpose: Purpose,
    ) -> Result<Held<'k, 'p>> {
        let hash = self.hasher.hash(key);
        // Under way while the lock is taken, which would hold back a load.
        prefetch_to_change(self.published(&self.pin()?), hash);
        let files = self.ready_to_write(purpose)?;
        let writer = self.lock_writer()?;
        let spot = writer.table.locate_inline(hash, key, elem)?;
        Ok(Held { core: self, files, writer, key, hash, spot })
    }
}

impl Held<'_, '_> {
    /// Sets the key's value.
    #[inline(always)]
    fn put(self, elem: &[u8]) -> Result<()> {
        let Held { core, files, mut writer, key, hash, spot } = self;
        let logged = kept(Mutant::OverwriteLogged) || !spot.is_taken();
        let frame = Frame::new(Kind::Put, key.len(), elem.len())?;
        let plan = writer.table.prepare_put(core, &core.inline_cells(), hash, spot, Trigger::Live)?;
        let start = GrowthRecord::of(plan.growth())?;
        core.secure(&mut writer, start.bytes() + frame.bytes(), Purpose::Add)?;

        // Nothing fails from here on.
        let log = writer.log()?;
        start.append(log);
        if logged {
            log.append(&frame, key, elem);
        }
        writer.table.put(core, plan, hash, InlinePut { key, elem });
        core.finish_change(files, writer)
    }

    /// Removes the key, which is there.
    #[inline]
    fn remove(self) -> Result<()> {
        let Held { core, files, mut writer, key, hash, spot } = self;
        let frame = Frame::new(Kind::Remove, key.len(), 0)?;
        let (plan, start) =
            core.prepare_removal(&mut writer, &core.inline_cells(), hash, spot, frame.bytes())?;

        // Nothing fails from here on.
        let log = writer.log()?;
        if kept(Mutant::ShrinkLogged) {
            start.append(log);
        }
        log.append(&frame, key, &[]);
        writer.table.remove(core, plan, hash);
        core.finish_change(files, writer)
    }
}

/// Every entry of a store of the inline layout.
pub(crate) struct InlineIter<'s> {
    walk: PinnedWalk<'s>,
    cells: InlineCells<'s>,
}

impl InlineIter<'_> {
    /// What `found` makes of the next key and elem, of which it gets so many bytes each: all or none. `None` at the end.
    #[inline(always)]
    pub(crate) fn next_with<T>(
        &mut self,
        (key_bytes, elem_bytes): (u8, u8),
        found: impl FnOnce(&[u8], &[u8]) -> Result<T>,
    ) -> Option<Result<T>> {
        let Some((core, walk, pin)) = self.walk.parts() else { return self.walk.over().map(Err) };
        match walk.peek(core.published(pin), &self.cells) {
            Some(slot) => {
                let mut entry = [[0; MAX_INLINE_BYTES as usize]; 2];
                let [key, elem] = &mut entry;
                let (key, elem) = (&mut key[..key_bytes.into()], &mut elem[..elem_bytes.into()]);
                slot.read(key, elem);
                Some(found(key, elem))
            }
            None => Some(next_anywhere(core, walk, pin, &self.cells)?.and_then(|entry| {
                found(&entry.key()[..key_bytes.into()], &entry.elem()[..elem_bytes.into()])
            })),
        }
    }
}

/// The next entry, where a look at one cell does not yield it.
#[inline(never)]
fn next_anywhere(
    core: &Core,
    walk: &mut Walk<IndexPages>,
    pin: &Pin<'_>,
    cells: &InlineCells<'_>,
) -> Option<Result<InlineEntry>> {
    walk.next(|| core.published(pin), cells)
}
