//! Looking at an open file: statistics, buckets, verification.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::file::log::RecordRef;
use crate::file::log::writer::LogWriter;
use crate::format::header::VERSION;
use crate::format::schema::Layout;
use crate::store::core::{Core, Files, Writer};
use crate::table::{Cells as _, chain, shape};
use crate::upkeep::extents::{self, Part};
use crate::upkeep::inspect::{self, Bucket, CellView, FileFigures, Growth, Info, Stats, WhichArray};
use crate::upkeep::verify::{Entries, Subject, Verification, verify};

impl Core {
    pub(super) fn stats(&self) -> Result<Stats> {
        let pin = self.pin()?;
        let writer = self.lock_writer_to_look()?;
        let (geometry, counters) = (Arc::clone(writer.table.geometry()), writer.table.counters());
        let log_segments_pinned = writer.log.as_ref().map_or(0, LogWriter::given_up) as u64;
        let (log_segments_left_alone, moved_bytes) =
            (writer.compactor.left_alone(), writer.compactor.moved.bytes);
        drop(writer);
        let file = FileFigures {
            file_bytes: self.media.length().map_err(Error::io("reading the file's length"))?,
            allocated_bytes: self.media.allocated().map_err(Error::io("reading the file's size on disk"))?,
            checkpoint_seq: self.header().checkpoint_seq,
            log_bytes_since_checkpoint: self.log_bytes_since_checkpoint(),
            failed_checkpoints: self
                .files
                .as_ref()
                .map_or(0, |files| files.failed_checkpoints.load(Ordering::Relaxed)),
            log_segments_pinned,
            log_segments_left_alone,
            moved_bytes,
            max_dead_ratio: self.options.max_dead_ratio,
            dirty_bytes: self.arrays.pager().dirty_bytes(),
            index_memory_limit: self.arrays.pager().limit_bytes(),
            pinned: self.domain.waiting(),
            snapshots: self.files.as_ref().map_or((0, 0), |files| files.checkpointer.pasts().figures()),
            recovered: self.recovered,
        };
        let load_factor = self.opened_with.identity.load_factor;
        let segments = self.log.segments(&pin);
        Ok(inspect::stats(&geometry, &counters, shape(&geometry)?, load_factor, &segments, file))
    }

    pub(super) fn growth(&self) -> Result<Growth> {
        self.process.check()?;
        let writer = self.lock_writer_to_look()?;
        Ok(inspect::growth(writer.table.geometry(), &writer.table.counters()))
    }

    pub(super) fn info(&self) -> Result<Info> {
        let pin = self.pin()?;
        let header = self.header();
        let geometry = Arc::clone(self.lock_writer_to_look()?.table.geometry());
        let catalog = (header.catalog.offset, header.catalog.len);
        Ok(Info {
            format_version: VERSION,
            file_id: header.identity.file_id,
            hash: self.hash_kind.name(),
            schema: header.identity.schema,
            load_factor: header.identity.load_factor,
            sequence: header.sequence,
            epoch: header.epoch,
            writing: header.writing,
            recovered: self.recovered,
            checkpointed_count: header.hmap.count,
            checkpoint_seq: header.checkpoint_seq,
            file_bytes: self.media.length().map_err(Error::io("reading the file's length"))?,
            extents: inspect::extents(&geometry, &self.log.segments(&pin), catalog),
        })
    }

    pub(super) fn bucket(&self, which: WhichArray, index: u64) -> Result<Option<Bucket>> {
        let pin = self.pin()?;
        let geometry = self.published(&pin);
        let array = match which {
            WhichArray::Current => Some(&geometry.array),
            WhichArray::Old => geometry.old.as_ref().map(|old| &old.array),
        };
        let Some(array) = array.filter(|array| index < array.buckets()) else { return Ok(None) };
        let layout = self.layout();
        if layout != Layout::Record {
            let chain = chain(array, index, |slot| self.inline_cells().read(slot).ok())?;
            return Ok(Some(inspect::bucket(index, chain, |tophash, entry| {
                let entry = entry.as_ref();
                let (key, value) = entry.map(|entry| (entry.key().to_vec(), entry.elem().to_vec())).unzip();
                let value_bytes = value.as_ref().map(|value| value.len() as u64);
                CellView { tophash, key, value_bytes, value, record_offset: None }
            })));
        }
        let chain = chain(array, index, |slot| slot.cell())?;
        Ok(Some(inspect::bucket(index, chain, |tophash, cell| {
            let record = self.log.read(&pin, cell.position()).ok();
            let view = |record: RecordRef<'_>| (record.key().as_slice().to_vec(), record.value_bytes());
            let (key, value_bytes) = record.map(view).unzip();
            let record_offset = Some(cell.position().offset());
            CellView { tophash, key, value_bytes, value: None, record_offset }
        })))
    }

    pub(super) fn verify(&self) -> Result<Verification> {
        let pin = self.pin()?;
        self.check_outside()?;
        let files = self.files.as_ref();
        let hold = |lock| Mutex::lock(lock).unwrap_or_else(PoisonError::into_inner);
        let _no_checkpoint = files.map(|files| hold(&files.checkpointing));
        let _nothing_in_hand = files.map(|files| hold(&files.in_hand));
        let writer = self.lock_writer_to_look()?;
        let segments = self.log.segments(&pin);
        let file_bytes = self.media.length().map_err(Error::io("reading the file's length"))?;
        let (parts, covered) = match files {
            Some(files) => {
                let (parts, covered) = self.parts_in_use(files, &writer);
                (Ok(parts), covered)
            }
            None => (extents::named_by(&self.header(), &*self.media, file_bytes), None),
        };
        let log =
            segments.iter().map(|segment| Part::new((segment.offset(), segment.bytes()), "log segment"));
        verify(Subject {
            geometry: writer.table.geometry(),
            counters: writer.table.counters(),
            entries: match self.layout() {
                Layout::Record => Entries::Records(self.records(&pin)),
                Layout::Inline { .. } => Entries::Inline(self.inline_cells()),
            },
            segments: &segments,
            parts: parts.map(|parts| parts.into_iter().chain(log).collect()),
            covered,
            file_bytes,
        })
    }

    /// Every part of the file but the log, and up to where they are all there is: unless a reader holds on to
    /// something that was replaced, which nobody can tell from something lost.
    fn parts_in_use(&self, files: &Files, writer: &Writer) -> (Vec<Part>, Option<u64>) {
        self.domain.collect();
        let nothing_retired = self.domain.waiting() == 0;
        let (unused, end) = files.space.unused();
        let (catalog, journal) = files.checkpointer.extents();
        let mut parts = vec![extents::slots(), Part::new(catalog, "catalog")];
        parts.extend(journal.map(|journal| Part::new(journal, "journal")));
        parts.extend(extents::of_arrays(writer.table.geometry()));
        parts.extend(
            writer.log.iter().flat_map(LogWriter::spares).map(|spare| Part::new(spare, "spare log segment")),
        );
        parts.extend(self.arrays.ahead().iter().flat_map(extents::of_pages));
        parts.extend(unused.into_iter().map(|free| Part::new(free, extents::FREE)));
        (parts, nothing_retired.then_some(end))
    }

    /// The last durable header.
    fn header(&self) -> crate::format::header::Header {
        self.files.as_ref().map_or(self.opened_with, |files| files.headers.durable())
    }
}

/// Every bucket of an array; see [`Store::buckets`](crate::Store::buckets).
pub struct Buckets<'s> {
    core: &'s Core,
    array: WhichArray,
    next: u64,
}

impl<'s> Buckets<'s> {
    pub(super) fn new(core: &'s Core, array: WhichArray) -> Self {
        Buckets { core, array, next: 0 }
    }
}

impl Iterator for Buckets<'_> {
    type Item = Result<Bucket>;

    fn next(&mut self) -> Option<Self::Item> {
        let bucket = self.core.bucket(self.array, self.next).transpose()?;
        self.next += 1;
        Some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::Duration;

    use crate::Options;
    use crate::file::sim::SimDisk;
    use crate::file::space::{Extent, Use};
    use crate::format::PAGE_BYTES;

    #[test]
    fn an_extent_that_nobody_has_is_a_leak() {
        let store = Options::new().media(SimDisk::new(1)).open("a.tophash").unwrap();
        store.insert("key", "value").unwrap();
        let space = &store.core().files.as_ref().unwrap().space;
        let extent = space.allocate(3 * PAGE_BYTES, PAGE_BYTES, Use::Checkpoint).unwrap();
        let offset = extent.offset();
        std::mem::forget(extent);
        let faults = store.verify().unwrap().faults;
        let text: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let expected =
            format!("offset {offset}: bytes that are neither free nor in use: expected 0, found 12288");
        assert_eq!(text, [expected]);
    }

    /// An extent that goes back only when a verification is over, or has not ended for a while.
    struct GoesBackLate {
        _extent: Extent,
        going: Sender<()>,
        verified: Receiver<()>,
    }

    impl Drop for GoesBackLate {
        fn drop(&mut self) {
            let _ = self.going.send(());
            let _ = self.verified.recv_timeout(Duration::from_millis(200));
        }
    }

    #[test]
    fn space_on_its_way_back_is_no_leak() {
        let store = Options::new().background(false).media(SimDisk::new(1)).open("a.tophash").unwrap();
        store.insert("key", "value").unwrap();
        let space = &store.core().files.as_ref().unwrap().space;
        let extent = space.allocate(PAGE_BYTES, PAGE_BYTES, Use::Checkpoint).unwrap();
        let ((going, gone), (done, verified)) = (channel(), channel());
        store.core().domain.retire(GoesBackLate { _extent: extent, going, verified });
        thread::scope(|scope| {
            scope.spawn(|| store.core().do_upkeep());
            gone.recv().unwrap();
            let faults = store.verify().unwrap().faults;
            let _ = done.send(());
            assert_eq!(faults, []);
        });
    }
}
