//! Making a new file: complete under a temporary name, then published under its own (D22).

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::media::{Access, Media, Volume};
use crate::file::space::{Space, Use, no_space};
use crate::format::PAGE_BYTES;
use crate::format::catalog::{ArrayRole, Catalog, IndexExtent, SegmentExtent, sums_bytes};
use crate::format::header::{Header, Hmap, Identity, LogPosition, Pointer, SLOT_OFFSETS};
use crate::format::segment::{FIRST_RECORD, IDENTITY_AT, SEGMENT_UNIT_BYTES, SegmentHead};
use crate::mutants::{Mutant, kept};

/// The first bucket array of a new file.
pub(crate) struct FirstArray {
    /// log2 of its buckets.
    pub(crate) b: u8,
    /// Its length in bytes, preallocated overflow buckets included.
    pub(crate) bytes: u64,
    /// The first overflow bucket.
    pub(crate) next_overflow: u64,
}

/// Makes the file and returns it locked; `None` when another process was faster.
pub(crate) fn create(
    volume: &dyn Volume,
    path: &Path,
    identity: Identity,
    array: FirstArray,
) -> Result<Option<Arc<dyn Media>>> {
    let (temporary, media) = volume.create_temporary(path).map_err(no_space("creating the file", 0))?;
    let published = fill(&media, identity, array).and_then(|()| {
        // Nobody else knows the file yet, so the lock is free.
        if kept(Mutant::NewFileLocked) {
            media.try_lock(Access::Write).map_err(Error::io("locking the new file"))?;
        }
        if !kept(Mutant::PublishedWithoutReplacing) {
            let _ = volume.remove(path);
        }
        // The name becomes durable when the file is opened, by us or by whoever is faster.
        volume.publish(&temporary, path).map_err(Error::io("naming the new file"))
    });
    if !matches!(published, Ok(true)) {
        let _ = volume.remove(&temporary);
    }
    Ok(published?.then_some(media))
}

fn fill(media: &Arc<dyn Media>, identity: Identity, array: FirstArray) -> Result<()> {
    let space = Space::new(Arc::clone(media), 0);
    let catalog = space.allocate(PAGE_BYTES, PAGE_BYTES, Use::Checkpoint)?;
    let buckets = space.allocate(array.bytes, PAGE_BYTES, Use::Index)?;
    let sums = space.allocate(sums_bytes(buckets.bytes()), PAGE_BYTES, Use::Index)?;
    let segment = space.allocate(SEGMENT_UNIT_BYTES, SEGMENT_UNIT_BYTES, Use::Log)?;

    let head =
        SegmentHead { epoch: 0, sequence: 1, bytes: segment.bytes(), predecessor: 0, predecessor_end: 0 };
    let log = LogPosition { segment: segment.offset(), end: segment.offset() + FIRST_RECORD };
    let sum_pages = (sums.bytes() / PAGE_BYTES) as usize;
    let contents = Catalog {
        index: vec![IndexExtent {
            array: ArrayRole::Current,
            part: 0,
            offset: buckets.offset(),
            bytes: buckets.bytes(),
            sums_offset: sums.offset(),
            sums: vec![0; sum_pages],
        }],
        segments: vec![SegmentExtent {
            offset: segment.offset(),
            bytes: segment.bytes(),
            sequence: head.sequence,
            epoch: head.epoch,
            end: log.end,
            live: 0,
        }],
    }
    .encode();
    if contents.len() as u64 > catalog.bytes() {
        // 4 TiB of buckets for a hint is beyond what a first catalog page lists.
        return Err(Error::TooLarge { what: "the capacity", len: array.bytes, limit: 1 << 41 });
    }
    let header = Header {
        identity,
        sequence: 1,
        epoch: 0,
        writing: false,
        hmap: Hmap {
            b: array.b,
            buckets: buckets.offset(),
            next_overflow: array.next_overflow,
            ..Hmap::default()
        },
        log,
        catalog: Pointer {
            offset: catalog.offset(),
            len: contents.len() as u64,
            crc: crc32fast::hash(&contents),
        },
        journal: Pointer::default(),
        file_bytes: segment.offset() + segment.bytes(),
        checkpoint_seq: 0,
    };
    // Both slots, so that a file with one invalid slot is always one that something happened to.
    let older = Header { sequence: 0, ..header };
    let segment_identity = head.encode(&identity.file_id);
    let writes: [(&[u8], u64); 5] = [
        (&segment_identity, segment.offset() + IDENTITY_AT[0] as u64),
        (&segment_identity, segment.offset() + IDENTITY_AT[1] as u64),
        (&contents, catalog.offset()),
        (&header.encode(), SLOT_OFFSETS[0]),
        (&older.encode(), SLOT_OFFSETS[1]),
    ];
    for (bytes, offset) in writes {
        media.write_at(bytes, offset).map_err(no_space("writing the new file", bytes.len() as u64))?;
    }
    if kept(Mutant::NewFileSynced) {
        media.sync().map_err(Error::io("sync"))?;
    }
    Ok(())
}
