//! A table cell for cell (D15): same key, same tophash, same place in its chain, same counters. Positions of records
//! and file offsets may differ.

use tophash::report::{Bucket, CellView, Stats, WhichArray};
use tophash::{Buckets, Codec, Key, Map, Store};

/// Everything about a table that a recovery must bring back.
#[derive(PartialEq, Debug)]
pub struct Cells {
    counters: String,
    current: Vec<Chain>,
    old: Vec<Chain>,
}

/// The buckets of a chain with their numbers and cells.
type Chain = Vec<(u64, Vec<Cell>)>;

#[derive(PartialEq, Debug)]
struct Cell {
    tophash: u8,
    key: Option<Vec<u8>>,
    value_bytes: Option<u64>,
}

/// A store or a map, whose table there is to look at.
pub trait HasTable {
    fn counted(&self) -> Stats;
    fn chains(&self, array: WhichArray) -> Buckets<'_>;
}

impl HasTable for Store {
    fn counted(&self) -> Stats {
        self.stats().unwrap()
    }

    fn chains(&self, array: WhichArray) -> Buckets<'_> {
        self.buckets(array)
    }
}

impl<K: Key + ?Sized, V: Codec + ?Sized> HasTable for Map<K, V> {
    fn counted(&self) -> Stats {
        self.stats().unwrap()
    }

    fn chains(&self, array: WhichArray) -> Buckets<'_> {
        self.buckets(array)
    }
}

impl Cells {
    pub fn of(store: &impl HasTable) -> Self {
        let chains = |array| store.chains(array).map(|bucket| chain(bucket.unwrap())).collect();
        Cells {
            counters: counters(&store.counted()),
            current: chains(WhichArray::Current),
            old: chains(WhichArray::Old),
        }
    }

    /// Names the first difference, since whole tables are long.
    #[track_caller]
    pub fn assert_same_as(&self, other: &Cells) {
        assert_eq!(self.counters, other.counters);
        for (array, mine, others) in
            [("bucket", &self.current, &other.current), ("old bucket", &self.old, &other.old)]
        {
            assert_eq!(mine.len(), others.len(), "{array}s");
            for (index, (mine, others)) in mine.iter().zip(others).enumerate() {
                assert_eq!(mine, others, "{array} {index}");
            }
        }
    }
}

fn chain(bucket: Bucket) -> Chain {
    // The record of a cell that moved may be gone, with its segment.
    let is_filled = |cell: &CellView| cell.tophash >= 5;
    let view = |cell: &CellView| Cell {
        tophash: cell.tophash,
        key: cell.key.clone().filter(|_| is_filled(cell)),
        value_bytes: cell.value_bytes.filter(|_| is_filled(cell)),
    };
    let cells = |cells: &[CellView]| cells.iter().map(view).collect();
    bucket.chain.iter().map(|link| (link.index, cells(&link.cells))).collect()
}

fn counters(stats: &Stats) -> String {
    let Stats { count, b, noverflow, overflow_buckets, growing, same_size_grow, shrinking, .. } = stats;
    let Stats { old_buckets, nevacuate, chain_lengths, .. } = stats;
    format!(
        "count {count}, B {b}, noverflow {noverflow}, overflow buckets {overflow_buckets}, growing {growing}, to \
         the same size {same_size_grow}, to half {shrinking}, {nevacuate} of {old_buckets} evacuated, chains {chain_lengths:?}"
    )
}
