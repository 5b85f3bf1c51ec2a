//! Applying a batch: changes that are on disk all together or not at all (D3).
//!
//! One record says how many records behind it belong together, and all of them lie in one segment; recovery takes them
//! whole or not at all. So that nothing fails once the first of them is appended, the writer first
//!
//! > grows the table as far as the batch needs it → evacuates the old buckets of its keys → finds every key → secures
//! > overflow buckets and log space,
//!
//! each of which is harmless by itself if the next one fails: growing is logged in records of its own.

mod changes;

use crate::batch::{Batch, Change};
use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::log::writer::Purpose;
use crate::file::pages::IndexPages;
use crate::format::record::{BatchValue, EvacuateValue, Frame, Kind};
use crate::format::schema::Layout;
use crate::mutants::{Mutant, kept};
use crate::store::Store;
use crate::store::core::{Core, Writer};
use crate::store::growth::GrowthRecord;
use crate::table::{ClearPlan, Growth, Host as _, foresee, prefetch};
use crate::upkeep::records::Live;
use changes::Changes;

/// Keys whose buckets and records are fetched ahead together.
const GROUP: usize = 16;

impl Store {
    /// Makes the changes of a batch together: after a crash at any moment all of them are there, or none. Other writers
    /// come before or after all of it. A reader may see some of them a moment before the others; an iteration too.
    ///
    /// One sync for all of it with [`Durability::Immediate`](crate::Durability::Immediate). A batch of many changes is
    /// faster than the changes one by one: the keys' cache misses pass together. It grows the table by as much as it
    /// needs before it begins, so the time it takes is linear in its size and, when it starts or ends a growth, in that
    /// of the table. Takes a multiple of the memory that its changes have, and all of it goes into one log segment.
    ///
    /// # Errors
    /// As those of [`insert`](Store::insert), and nothing has changed then. Unlike that one it does not read the values
    /// that it replaces or removes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// use tophash::Batch;
    ///
    /// let mut batch = Batch::new();
    /// for day in 0..3 {
    ///     batch.put(format!("day:{day}"), "sunny").put("latest", day.to_string());
    ///     store.apply(&batch)?;
    ///     batch.reset();
    /// }
    /// assert_eq!(store.get("latest")?.as_deref(), Some(&b"2"[..]));
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn apply(&self, batch: &Batch) -> Result<()> {
        self.write(|core| core.with_room(|| core.apply(batch)))
    }

    /// Inserts many entries together: all of them, or none after an error or a crash. They are collected in a [`Batch`].
    ///
    /// # Errors
    /// As those of [`Store::apply`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// store.insert_many((0..1000u32).map(|n| (n.to_le_bytes(), "value")))?;
    /// assert_eq!(store.len(), 1000);
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn insert_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        self.apply(&Batch::from_iter(entries))
    }

    /// Inserts as many entries as there are, in batches of a thousand, and returns their number. What
    /// [`Extend`] is for other collections, which here would have to lose the errors.
    ///
    /// # Errors
    /// As those of [`Store::apply`]. The batches before the one that failed stay; that one and those behind it are not
    /// there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = tophash::Store::open(dir.path().join("app.tophash"))?;
    /// # let another = tophash::Store::open(dir.path().join("another.tophash"))?;
    /// # another.insert("key", "value")?;
    /// let entries = another.iter().collect::<tophash::Result<Vec<_>>>()?;
    /// assert_eq!(store.try_extend(entries)?, another.len());
    /// # Ok::<(), tophash::Error>(())
    /// ```
    pub fn try_extend<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        let (mut batch, mut done) = (Batch::new(), 0);
        let mut entries = entries.into_iter().peekable();
        while let Some((key, value)) = entries.next() {
            batch.put(key, value);
            if batch.is_full() || entries.peek().is_none() {
                self.apply(&batch)?;
                done += batch.len() as u64;
                batch.reset();
            }
        }
        Ok(done)
    }
}

impl Core {
    pub(super) fn apply(&self, batch: &Batch) -> Result<()> {
        let pin = self.pin()?;
        match self.layout() {
            Layout::Record => self.apply_in(&pin, &self.records(&pin), batch),
            Layout::Inline { .. } => self.apply_in(&pin, &self.inline_cells(), batch),
        }
    }

    /// Applies a batch to cells of this layout.
    fn apply_in<'p, C: Live<'p>>(&'p self, pin: &'p Pin<'_>, cells: &C, batch: &Batch) -> Result<()> {
        let mut changes = Changes::<C::Name<'_>>::new(batch, &self.hasher)?;
        let files = self.ready_to_write(changes.purpose())?;
        let mut writer = self.lock_writer()?;
        self.grow_for(&mut writer, pin, cells, &changes)?;

        let clear = changes.clears.then(|| writer.table.prepare_clear(self)).transpose()?;
        self.locate(&writer, pin, cells, &mut changes)?;
        let needed = overflow_buckets(&writer, clear.as_ref(), &changes)?;
        if changes.purpose() == Purpose::Add && needed > 0 {
            let bytes = needed.saturating_mul(4 * self.layout().shape().bytes());
            self.check_room_for_chunk(writer.table.geometry(), bytes)?;
        }
        writer.table.secure_settled(self, clear.as_ref(), needed)?;
        let (batch_frame, clear_frame) =
            (Frame::new(Kind::Batch, 0, BatchValue::BYTES)?, Frame::new(Kind::Clear, 0, 0)?);
        let frames = || changes.active().map(|planned| planned.change.frame);
        let frames = || clear.iter().map(|_| clear_frame).chain(frames());
        let value = BatchValue { bytes: frames().map(|f| f.bytes()).sum(), records: frames().count() as u64 };
        let finish = if C::IN_RECORDS { Core::finish_write } else { Core::finish_change };
        if value.records == 0 {
            // The table may have begun to shrink all the same.
            return finish(self, files, writer);
        }
        let room = if kept(Mutant::RoomForWholeBatch) { value.bytes } else { 0 };
        self.secure(&mut writer, batch_frame.bytes() + room, changes.purpose())?;

        // Nothing fails from here on.
        writer.log()?.append(&batch_frame, &[], &value.encode());
        let mut _dropped_without_the_lock = None;
        if let Some(plan) = clear {
            writer.log()?.append(&clear_frame, &[], &[]);
            writer.table.clear(self, plan);
            _dropped_without_the_lock = self.arrays.give_up_ahead();
            self.log.segments(pin).iter().for_each(|segment| segment.set_live(0));
        }
        self.make::<C>(&mut writer, &changes)?;
        finish(self, files, writer)
    }

    /// Grows the table as far as the batch needs it, and evacuates the old buckets of its keys.
    fn grow_for<'p, 'b, C: Live<'p>>(
        &self,
        writer: &mut Writer,
        pin: &Pin<'_>,
        cells: &C,
        changes: &Changes<'b, '_, C::Name<'b>>,
    ) -> Result<()> {
        let puts = changes.puts().count() as u64;
        if puts == 0 && !changes.clears && writer.table.shrink_due() {
            match self.start_growth(writer, Growth::Shrink) {
                Err(Error::NoSpace { .. }) => {}
                started => started?,
            }
        }
        let count = if changes.clears { 0 } else { writer.table.counters().count };
        if puts > 0 && writer.table.growth_due_for(count + puts).is_some() {
            let new = if changes.clears { puts } else { self.count_new(writer, pin, cells, changes)? };
            self.grow_to(writer, pin, count + new, new > 0)?;
        }
        if changes.clears { Ok(()) } else { self.settle(writer, pin, changes) }
    }

    /// How many keys the batch brings.
    fn count_new<'p, 'b, C: Live<'p>>(
        &self,
        writer: &Writer,
        pin: &Pin<'_>,
        cells: &C,
        changes: &Changes<'b, '_, C::Name<'b>>,
    ) -> Result<u64> {
        let mut new = 0;
        for group in changes.by_bucket.chunks(GROUP) {
            self.fetch_ahead::<C>(writer, pin, changes, group);
            for planned in group.iter().map(|&(_, at)| &changes.list[at]).filter(|planned| planned.is_put()) {
                let (spot, _) = writer.table.locate(cells, planned.hash, planned.change.key)?;
                new += u64::from(!spot.is_taken());
            }
        }
        Ok(new)
    }

    fn fetch_ahead<'p, C: Live<'p>>(
        &self,
        writer: &Writer,
        pin: &Pin<'_>,
        changes: &Changes<'_, '_, C::Name<'_>>,
        group: &[(u64, usize)],
    ) {
        let (geometry, hashes) =
            (writer.table.geometry(), group.iter().map(|&(_, at)| changes.list[at].hash));
        hashes.clone().for_each(|hash| prefetch(geometry, hash));
        if C::IN_RECORDS {
            hashes.for_each(|hash| foresee(geometry, hash, |position| self.log.prefetch(pin, position)));
        }
    }

    /// Doubles the table until it takes so many entries. A growth that can't be afforded is put off (D18).
    fn grow_to(&self, writer: &mut Writer, pin: &Pin<'_>, entries: u64, mut more: bool) -> Result<()> {
        while more {
            let grown = match (writer.table.growth_due_for(entries), writer.table.growing()) {
                (Some(Growth::Double), true) => {
                    self.evacuate(writer, pin, Purpose::Add, EvacuateValue::at_mark(STEP))
                }
                (Some(growth), false) => {
                    more = growth == Growth::Double;
                    self.start_growth(writer, growth)
                }
                _ => break,
            };
            match grown {
                Err(Error::NoSpace { .. }) => break,
                grown => grown?,
            }
        }
        Ok(())
    }

    /// Begins a growth as a step of its own.
    pub(super) fn start_growth(&self, writer: &mut Writer, growth: Growth) -> Result<()> {
        let record = GrowthRecord::of(Some(growth))?;
        if let Some(bytes) = writer.table.array_bytes_for(growth)
            && !self.leaves_room_when_grown(writer.table.geometry(), bytes)
        {
            let what = "a bucket array and the next checkpoint";
            return Err(Error::NoSpace { what, needed_bytes: bytes });
        }
        let start = writer.table.reserve_growth(self, growth)?;
        self.secure(writer, record.bytes(), Purpose::Add)?;
        record.append(writer.log()?);
        writer.table.start_growth(self, start);
        Ok(())
    }

    /// While a growth is under way: evacuates as many buckets at its mark as the batch has changes, so that it goes on at
    /// its pace, and then those of the batch's keys.
    fn settle<N>(&self, writer: &mut Writer, pin: &Pin<'_>, changes: &Changes<'_, '_, N>) -> Result<()> {
        let purpose = changes.purpose();
        let mut left = changes.by_bucket.len();
        while writer.table.growing() && left > 0 {
            let at_mark = left.min(STEP);
            self.evacuate(writer, pin, purpose, EvacuateValue::at_mark(at_mark))?;
            left -= at_mark;
        }
        let mut buckets = Vec::new();
        if writer.table.growing() {
            for planned in changes.active() {
                buckets.extend(writer.table.unevacuated(planned.hash)?);
            }
        }
        buckets.sort_unstable();
        buckets.dedup();
        for buckets in buckets.chunks(STEP) {
            self.evacuate(writer, pin, purpose, EvacuateValue { at_mark: 0, buckets: buckets.to_vec() })?;
        }
        Ok(())
    }

    /// Evacuates old buckets as a step of its own.
    pub(super) fn evacuate(
        &self,
        writer: &mut Writer,
        pin: &Pin<'_>,
        purpose: Purpose,
        value: EvacuateValue,
    ) -> Result<()> {
        let (table, at_mark, buckets) = (&writer.table, value.at_mark, &value.buckets);
        let plan = match self.layout() {
            Layout::Record => table.prepare_evacuation(self, &self.records(pin), at_mark, buckets)?,
            Layout::Inline { .. } => {
                table.prepare_evacuation(self, &self.inline_cells(), at_mark, buckets)?
            }
        };
        let value = value.encode();
        let frame = Frame::new(Kind::Evacuate, 0, value.len())?;
        self.secure(writer, frame.bytes(), purpose)?;
        writer.log()?.append(&frame, &[], &value);
        writer.table.evacuate_planned(self, plan);
        Ok(())
    }

    /// Finds every key, and so reads and checks whatever the changes rely on. A removal of an absent key becomes idle.
    fn locate<'p, 'b, C: Live<'p>>(
        &self,
        writer: &Writer,
        pin: &Pin<'_>,
        cells: &C,
        changes: &mut Changes<'b, 'p, C::Name<'b>>,
    ) -> Result<()> {
        if changes.clears {
            return Ok(());
        }
        let table = &writer.table;
        for group in changes.by_bucket.chunks(GROUP) {
            self.fetch_ahead::<C>(writer, pin, changes, group);
            for &(_, at) in group {
                let planned = &mut changes.list[at];
                let (spot, found) = table.locate_settled(cells, planned.hash, planned.change.key)?;
                planned.spot = spot;
                let record = found.as_ref().and_then(C::record);
                planned.before = record.map(|record| (record.segment(), record.record_bytes()));
                if !planned.is_put() {
                    planned.idle = !spot.is_taken();
                    table.prepare_remove_settled(planned.hash, spot)?;
                }
            }
        }
        Ok(())
    }

    /// Logs the changes and makes them in the table.
    fn make<'p, 'b, C: Live<'p>>(
        &self,
        writer: &mut Writer,
        changes: &Changes<'b, '_, C::Name<'b>>,
    ) -> Result<()> {
        let Writer { table, log, .. } = writer;
        let log = log.as_mut().ok_or(Error::ReadOnly)?;
        for (at, planned) in changes.list.iter().enumerate() {
            if let Some(next) = changes.list.get(at + GROUP) {
                prefetch(table.geometry(), next.hash);
            }
            if planned.idle {
                continue;
            }
            let Change { frame, key, value } = planned.change;
            let position = log.append(&frame, key, value);
            if planned.is_put() {
                if C::IN_RECORDS {
                    log.add_live(frame.bytes());
                }
                table.put_settled(planned.spot, planned.hash, C::content(planned.hash, position, key, value));
            } else {
                table.remove_settled(planned.spot, planned.hash);
            }
            if let Some((segment, bytes)) = planned.before {
                segment.remove_live(bytes);
            }
        }
        Ok(())
    }
}

/// Old buckets that one record has evacuated.
const STEP: usize = EvacuateValue::MAX_BUCKETS;

/// How many overflow buckets the new keys take at most.
fn overflow_buckets<N>(
    writer: &Writer,
    clear: Option<&ClearPlan<IndexPages>>,
    changes: &Changes<'_, '_, N>,
) -> Result<u64> {
    let b = writer.table.geometry().array.b();
    let planned = |&(_, at): &(u64, usize)| &changes.list[at];
    let mut needed = 0;
    for bucket in changes.by_bucket.chunk_by(|a, b_| planned(a).hash.bucket(b) == planned(b_).hash.bucket(b))
    {
        let new = bucket.iter().map(planned).filter(|planned| planned.is_new());
        let (puts, has_room) = (new.clone().count() as u64, new.clone().all(|new| new.spot.has_room()));
        if puts > 1 || puts == 1 && !has_room {
            needed += writer.table.overflow_for(clear, planned(&bucket[0]).hash, puts)?;
        }
    }
    Ok(needed)
}
