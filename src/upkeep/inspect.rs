//! Reports: what a table and its file look like. Plain data; the store fills it in.

use crate::file::log::segment::Segment;
use crate::file::pages::IndexPages;
use crate::format::PAGE_BYTES;
use crate::format::bucket::CELLS;
use crate::format::schema::Schema;
use crate::table::{BucketCells, Counters, Geometry, Shape};

pub use crate::format::bucket::Tophash;
pub use crate::table::{Growth as GrowthKind, WhichArray};

/// Sizes and shapes of a store; see [`Store::stats`](crate::Store::stats).
///
/// The four columns that Go's `map.go` tabulates for its own buckets are `overflow_percent`, `bytes_per_entry`,
/// `hit_probe` and `miss_probe`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries.
    pub count: u64,
    /// log2 of the number of buckets (Go's `B`).
    pub b: u8,
    /// Buckets in the array, overflow buckets not counted.
    pub buckets: u64,
    /// Overflow buckets in the chains.
    pub overflow_buckets: u64,
    /// The table's own count of them, approximate from B = 16 on.
    pub noverflow: u32,
    /// Entries per bucket.
    pub load_factor: f64,
    /// Entries per bucket at which the table doubles.
    pub max_load_factor: f64,
    /// How many of a hundred buckets have an overflow bucket.
    pub overflow_percent: f64,
    /// Bytes of buckets per entry beyond what its cell holds: key and value, or 8 bytes in the record layout.
    pub bytes_per_entry: f64,
    /// Entries to look at on average to find a key that is there.
    pub hit_probe: f64,
    /// Entries to look at on average to know that a key is not there.
    pub miss_probe: f64,
    /// A growth is under way.
    pub growing: bool,
    /// It is one to the same size.
    pub same_size_grow: bool,
    /// It is one to half the size.
    pub shrinking: bool,
    /// Buckets of the array that it empties, 0 when there is none.
    pub old_buckets: u64,
    /// How many of them are done at least; while shrinking, as many more in the second half.
    pub nevacuate: u64,
    /// Buckets by the length of their chain: the first number is that of chains of one bucket.
    pub chain_lengths: Vec<u64>,
    /// Length of the file.
    pub file_bytes: u64,
    /// Bytes of the disk that it occupies.
    pub allocated_bytes: u64,
    /// Bytes of records that the table points at.
    pub log_live_bytes: u64,
    /// Bytes of records that it does not.
    pub log_dead_bytes: u64,
    /// Segments of the log.
    pub log_segments: u64,
    /// Those among them that are emptied and free but for readers that may still look there.
    pub log_segments_pinned: u64,
    /// Those that compaction leaves alone: a record there is damaged, or too large to be moved beside writes.
    pub log_segments_left_alone: u64,
    /// Bytes of records that compaction has moved since the store was opened.
    pub moved_bytes: u64,
    /// How much of the log may be dead ([`Options::max_dead_ratio`](crate::Options::max_dead_ratio)).
    pub max_dead_ratio: f64,
    /// Checkpoints in the life of the file.
    pub checkpoint_seq: u64,
    /// What a crash now would have to replay.
    pub log_bytes_since_checkpoint: u64,
    /// Checkpoints that were due and failed since the store was opened; it goes on with its log alone.
    pub failed_checkpoints: u64,
    /// Bytes of index pages that changed since the last checkpoint.
    pub dirty_bytes: u64,
    /// Memory that the bucket arrays may take ([`Options::index_memory_limit`](crate::Options::index_memory_limit)).
    pub index_memory_limit: u64,
    /// Replaced arrays and segments that wait for a reader to go.
    pub pinned: usize,
    /// Snapshots and backups of this handle that live.
    pub snapshots: usize,
    /// Bytes of old index pages that are saved for them; what they have read themselves is not counted.
    pub snapshot_bytes: u64,
    /// Opening this handle had to replay the log.
    pub recovered: bool,
}

/// How far a growth is; see [`Store::growth`](crate::Store::growth).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Growth {
    /// log2 of the number of buckets.
    pub b: u8,
    /// Buckets of the array.
    pub buckets: u64,
    /// Where the array lies in the file; 0 while only memory has it.
    pub buckets_offset: u64,
    /// The growth under way.
    pub kind: Option<GrowthKind>,
    /// Buckets of the array that it empties, 0 when there is none.
    pub old_buckets: u64,
    /// Where that lies in the file, 0 when there is none or only memory has it.
    pub oldbuckets_offset: u64,
    /// Old buckets below this one are evacuated; while shrinking, those in the second half too that go with them.
    pub nevacuate: u64,
}

/// What a file says about itself; see [`Store::info`](crate::Store::info).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Major and minor version of the format.
    pub format_version: (u16, u16),
    /// Random; tells files apart.
    pub file_id: [u8; 16],
    /// The name of the hash function.
    pub hash: &'static str,
    /// What the keys and the values are.
    pub schema: Schema,
    /// Hundredths of entries per bucket at which the table doubles.
    pub load_factor: u16,
    /// Sequence number of the header.
    pub sequence: u64,
    /// Sessions that wrote.
    pub epoch: u64,
    /// The last session did not close the file, or this one writes.
    pub writing: bool,
    /// Opening this handle had to replay the log.
    pub recovered: bool,
    /// Entries at the last checkpoint.
    pub checkpointed_count: u64,
    /// Checkpoints in the life of the file.
    pub checkpoint_seq: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Every extent that is in use, by offset.
    pub extents: Vec<Extent>,
}

/// A run of bytes of the file and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// File offset.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// What it holds.
    pub what: &'static str,
    /// Bytes of it that mean something: records of a segment, else all.
    pub used_bytes: u64,
}

/// A bucket and its overflow chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// Its number in the array.
    pub index: u64,
    /// The bucket itself, then its overflow buckets.
    pub chain: Vec<ChainLink>,
}

/// One bucket of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainLink {
    /// Its number in the array; beyond the array's buckets for an overflow bucket.
    pub index: u64,
    /// The eight cells.
    pub cells: [CellView; CELLS],
}

/// One cell of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CellView {
    /// Tophash or state.
    pub tophash: u8,
    /// The key of a filled cell, and of a moved one whose old record is still there.
    pub key: Option<Vec<u8>>,
    /// Bytes in its value.
    pub value_bytes: Option<u64>,
    /// The value, where the cell itself holds it: in the inline layout.
    pub value: Option<Vec<u8>>,
    /// File offset of its record, in the record layout.
    pub record_offset: Option<u64>,
}

impl CellView {
    /// The name of the cell's state, as Go has it: `filled` or one of the five.
    pub fn state(&self) -> &'static str {
        match Tophash(self.tophash) {
            Tophash::EMPTY_REST => "emptyRest",
            Tophash::EMPTY_ONE => "emptyOne",
            Tophash::EVACUATED_X => "evacuatedX",
            Tophash::EVACUATED_Y => "evacuatedY",
            Tophash::EVACUATED_EMPTY => "evacuatedEmpty",
            _ => "filled",
        }
    }
}

/// What the file contributes to [`Stats`].
pub(crate) struct FileFigures {
    pub(crate) file_bytes: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) checkpoint_seq: u64,
    pub(crate) log_bytes_since_checkpoint: u64,
    pub(crate) failed_checkpoints: u64,
    pub(crate) log_segments_pinned: u64,
    pub(crate) log_segments_left_alone: u64,
    pub(crate) moved_bytes: u64,
    pub(crate) max_dead_ratio: f64,
    pub(crate) dirty_bytes: u64,
    pub(crate) index_memory_limit: u64,
    pub(crate) pinned: usize,
    /// How many there are, and the bytes that are saved for them.
    pub(crate) snapshots: (usize, u64),
    pub(crate) recovered: bool,
}

/// Puts the figures of table, log and file together.
pub(crate) fn stats(
    geometry: &Geometry<IndexPages>,
    counters: &Counters,
    shape: Shape,
    load_factor_hundredths: u16,
    segments: &[std::sync::Arc<Segment>],
    file: FileFigures,
) -> Stats {
    let growth = growth(geometry, counters);
    let (live, used) = segments.iter().fold((0, 0), |(live, used), segment| {
        let records = segment.published_end() - segment.offset() - crate::format::segment::FIRST_RECORD;
        (live + segment.live(), used + records)
    });
    let overflow_buckets = shape.overflow_buckets + shape.old_overflow_buckets;
    let count = counters.count;
    let shape_of_buckets = geometry.array.shape();
    let bucket_bytes = (growth.buckets + overflow_buckets) * shape_of_buckets.bytes();
    let cell_bytes = count * shape_of_buckets.entry_bytes();
    let per_entry = |bytes: u64| if count == 0 { 0.0 } else { bytes as f64 / count as f64 };
    Stats {
        count,
        b: growth.b,
        buckets: growth.buckets,
        overflow_buckets,
        noverflow: counters.noverflow,
        load_factor: count as f64 / growth.buckets as f64,
        max_load_factor: f64::from(load_factor_hundredths) / 100.0,
        overflow_percent: shape.overflow_percent,
        bytes_per_entry: per_entry(bucket_bytes.saturating_sub(cell_bytes)),
        hit_probe: shape.hit_probe,
        miss_probe: shape.miss_probe,
        growing: growth.kind.is_some(),
        same_size_grow: growth.kind == Some(GrowthKind::SameSize),
        shrinking: growth.kind == Some(GrowthKind::Shrink),
        old_buckets: growth.old_buckets,
        nevacuate: growth.nevacuate,
        chain_lengths: shape.chain_lengths,
        file_bytes: file.file_bytes,
        allocated_bytes: file.allocated_bytes,
        log_live_bytes: live,
        log_dead_bytes: used.saturating_sub(live),
        log_segments: segments.len() as u64,
        log_segments_pinned: file.log_segments_pinned,
        log_segments_left_alone: file.log_segments_left_alone,
        moved_bytes: file.moved_bytes,
        max_dead_ratio: file.max_dead_ratio,
        checkpoint_seq: file.checkpoint_seq,
        log_bytes_since_checkpoint: file.log_bytes_since_checkpoint,
        failed_checkpoints: file.failed_checkpoints,
        dirty_bytes: file.dirty_bytes,
        index_memory_limit: file.index_memory_limit,
        pinned: file.pinned,
        snapshots: file.snapshots.0,
        snapshot_bytes: file.snapshots.1,
        recovered: file.recovered,
    }
}

/// How far the table's growth is.
pub(crate) fn growth(geometry: &Geometry<IndexPages>, counters: &Counters) -> Growth {
    let old = geometry.old.as_ref();
    Growth {
        b: geometry.array.b(),
        buckets: geometry.array.buckets(),
        buckets_offset: geometry.array.main().offset(),
        kind: old.map(|old| old.growth),
        old_buckets: old.map_or(0, |old| old.array.buckets()),
        oldbuckets_offset: old.map_or(0, |old| old.array.main().offset()),
        nevacuate: counters.nevacuate,
    }
}

/// The extents behind a table and its log, by offset.
pub(crate) fn extents(
    geometry: &Geometry<IndexPages>,
    segments: &[std::sync::Arc<Segment>],
    catalog: (u64, u64),
) -> Vec<Extent> {
    let whole = |offset, bytes, what| Extent { offset, bytes, what, used_bytes: bytes };
    let mut extents = vec![whole(0, 2 * PAGE_BYTES, "header slots"), whole(catalog.0, catalog.1, "catalog")];
    let mut add_array = |array: &crate::table::Array<IndexPages>, main, overflow| {
        let parts = std::iter::once((array.main(), main)).chain(array.chunks().map(|c| (c, overflow)));
        for (pages, what) in parts {
            // An array that only memory holds has no place.
            if pages.offset() != 0 {
                extents.push(whole(pages.offset(), pages.bytes(), what));
            }
            if let Some(place) = pages.place() {
                extents.push(whole(place.sums.offset(), place.sums.bytes(), "page checksums"));
            }
        }
    };
    add_array(&geometry.array, "buckets", "overflow buckets");
    if let Some(old) = &geometry.old {
        add_array(&old.array, "old buckets", "old overflow buckets");
    }
    extents.extend(segments.iter().map(|segment| Extent {
        offset: segment.offset(),
        bytes: segment.bytes(),
        what: "log segment",
        used_bytes: segment.published_end() - segment.offset(),
    }));
    extents.sort_by_key(|extent| extent.offset);
    extents
}

/// A chain with what its cells hold; `view` looks at one that holds something.
pub(crate) fn bucket<T>(index: u64, chain: Vec<BucketCells<T>>, view: impl Fn(u8, &T) -> CellView) -> Bucket {
    let links = chain.into_iter().map(|bucket| ChainLink {
        index: bucket.index,
        cells: std::array::from_fn(|i| {
            let tophash = bucket.tophash.get(i);
            let holds =
                tophash.is_filled() || [Tophash::EVACUATED_X, Tophash::EVACUATED_Y].contains(&tophash);
            match holds {
                true => view(tophash.0, &bucket.cells[i]),
                false => CellView { tophash: tophash.0, ..CellView::default() },
            }
        }),
    });
    Bucket { index, chain: links.collect() }
}
