//! Valid files to begin with: the ends that a store can come to, made once per process and the same in each.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use tophash::report::{GrowthKind, WhichArray};
use tophash::sim::{CallKind, Crash, SimDisk};
use tophash::{Batch, Durability, Options, Store};

use crate::content::{KEYS, Stamp, key, recognise_key};
use crate::layout::{Layout, journal_of, newest_slot};

/// The name of the store on its disk.
pub const PATH: &str = "store.tophash";
const SEED: u64 = 8;

/// What a store holds.
pub type Content = HashMap<u16, Stamp>;

/// A file, what it consists of, and what it holds.
pub struct Sample {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub layout: Layout,
    pub content: Content,
    /// It was closed: nothing in it can be taken for a torn tail.
    pub closed: bool,
}

/// Options of every store here.
pub fn options(disk: &SimDisk) -> Options {
    Options::new().background(false).durability(Durability::Buffered).seed(SEED).media(disk.clone())
}

/// A disk that does nothing by chance.
pub fn new_disk() -> SimDisk {
    let disk = SimDisk::new(SEED);
    disk.write_back_one_in(0);
    disk
}

/// All samples.
pub fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let mut all = vec![
            Life::new().closed("empty"),
            mixed().closed("mixed"),
            doubling().closed("doubling"),
            same_size().closed("same-size"),
            chained().killed("chained"),
            unclean().killed("unclean"),
            cleared().killed("cleared"),
            shrinking().cut_off("cut-off"),
        ];
        all.extend(in_place_writes(doubling(), ["journal", "journal-torn"]));
        all.extend(in_place_writes(same_size(), ["same-size-journal", "same-size-journal-torn"]));
        all
    })
}

/// A store in the making.
struct Life {
    disk: SimDisk,
    store: Store,
    taken: BTreeMap<u64, usize>,
    next_id: u16,
}

impl Life {
    /// Eight buckets.
    fn new() -> Self {
        let disk = new_disk();
        let store = options(&disk).capacity(30).open(Path::new(PATH)).expect("making a sample");
        Life { disk, store, taken: BTreeMap::new(), next_id: 0 }
    }

    fn insert(&mut self, n: u16, len: u32) {
        self.next_id += 1;
        let value = Stamp::new(self.next_id, len).value_of(n);
        self.store.insert(key(n), value).expect("inserting into a sample");
    }

    fn remove(&mut self, n: u16) {
        self.store.remove(key(n)).expect("removing from a sample");
    }

    /// Inserts and removals together.
    fn apply(&mut self, inserted: Range<u16>, removed: Range<u16>) {
        let mut batch = Batch::new();
        for n in removed {
            batch.remove(key(n));
        }
        for n in inserted {
            self.next_id += 1;
            batch.put(key(n), Stamp::new(self.next_id, 40).value_of(n));
        }
        self.store.apply(&batch).expect("a batch in a sample");
    }

    /// Keys that were not used yet, in this bucket of eight; values of 20 bytes.
    fn insert_into(&mut self, bucket: u64, count: usize) -> Vec<u16> {
        let taken = self.taken.entry(bucket).or_default();
        let keys = keys_of(bucket)[*taken..*taken + count].to_vec();
        *taken += count;
        keys.iter().for_each(|&n| self.insert(n, 20));
        keys
    }

    fn closed(self, name: &'static str) -> Sample {
        self.store.close().expect("closing a sample");
        Sample::of(name, &self.disk, true)
    }

    fn killed(self, name: &'static str) -> Sample {
        Sample::of(name, &self.disk.crash(1, Crash::Kill), false)
    }

    /// After a power cut with unsynced records.
    fn cut_off(mut self, name: &'static str) -> Sample {
        self.store.sync().expect("syncing a sample");
        self.insert_into(5, 20);
        self.insert(3, 900);
        Sample::of(name, &self.disk.crash(5, Crash::Power), false)
    }
}

impl Sample {
    fn of(name: &'static str, disk: &SimDisk, closed: bool) -> Self {
        let bytes = disk.contents(PATH).expect("a sample is there");
        let layout = Layout::of(&bytes).expect("a sample can be read");
        let store = options(disk).read_only(true).open(Path::new(PATH)).expect("a sample opens");
        let entries = store.iter().map(|entry| {
            let (key, value) = entry.expect("a sample has no faults");
            let n = recognise_key(&key).expect("a key");
            (n, Stamp::recognise(n, &value).expect("a value"))
        });
        Sample { name, content: entries.collect(), bytes, layout, closed }
    }
}

/// Numbers of keys by the lowest three bits of their hash.
fn keys_of(bucket: u64) -> &'static [u16] {
    static KEYS_OF: OnceLock<BTreeMap<u64, Vec<u16>>> = OnceLock::new();
    let keys = KEYS_OF.get_or_init(|| {
        let store = options(&new_disk()).capacity(30).open(Path::new(PATH)).expect("a scratch store");
        (1..KEYS).for_each(|n| drop(store.insert(key(n), "").expect("inserting")));
        let mut keys: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
        for array in [WhichArray::Old, WhichArray::Current] {
            for bucket in store.buckets(array) {
                let bucket = bucket.expect("reading a bucket");
                let cells = bucket.chain.iter().flat_map(|link| &link.cells);
                let found = cells.filter_map(|cell| recognise_key(cell.key.as_ref()?));
                keys.entry(bucket.index % 8).or_default().extend(found);
            }
        }
        keys.values_mut().for_each(|keys| {
            keys.sort_unstable();
            keys.dedup();
        });
        keys
    });
    &keys[&bucket]
}

/// Several sessions; large keys and values, replaced and removed ones.
fn mixed() -> Life {
    let mut life = Life::new();
    (0..40).for_each(|n| life.insert(n, u32::from(n) * 3));
    life.insert(7, 70_000);
    (0..20).step_by(3).for_each(|n| life.remove(n));
    (20..30).for_each(|n| life.insert(n, 200));
    life
}

/// A growth from 8 to 16 buckets under way, with overflow chunks behind both arrays.
fn doubling() -> Life {
    let mut life = Life::new();
    life.insert_into(0, 20);
    life.insert_into(1, 20);
    life.insert_into(4, 13);
    life.insert(7, 70_000);
    let growth = life.store.growth().expect("growth");
    assert_eq!(growth.kind, Some(GrowthKind::Double), "the sample grows");
    life
}

/// A growth to the same size under way.
fn same_size() -> Life {
    let mut life = Life::new();
    let first = life.insert_into(0, 44);
    first.into_iter().for_each(|n| life.remove(n));
    life.insert_into(1, 27);
    life.insert_into(2, 2);
    let growth = life.store.growth().expect("growth");
    assert_eq!(growth.kind, Some(GrowthKind::SameSize), "the sample grows");
    life
}

/// A shrink from 16 buckets to 8 under way, as a checkpoint has it.
fn shrinking() -> Life {
    let mut life = Life::new();
    let keys: Vec<u16> = (0..8).flat_map(|bucket| life.insert_into(bucket, 8)).collect();
    keys[12..].iter().for_each(|&n| life.remove(n));
    let growth = life.store.growth().expect("growth");
    assert_eq!(growth.kind, Some(GrowthKind::Shrink), "the sample shrinks");
    life.store.checkpoint().expect("a checkpoint");
    life
}

/// A log of several segments, the last ones unknown to the catalog.
fn chained() -> Life {
    let mut life = Life::new();
    for round in 0..3 {
        (0..9).for_each(|n| life.insert(n * 10 + round, 9000));
        life.store.sync().expect("syncing");
        if round == 0 {
            life.store.checkpoint().expect("a checkpoint");
        }
    }
    life
}

/// Records of every kind to replay.
fn unclean() -> Life {
    let mut life = doubling();
    life.store.checkpoint().expect("a checkpoint");
    life.insert_into(2, 12);
    life.store.sync().expect("syncing");
    life.insert_into(3, 30);
    (7..40).for_each(|n| life.insert(n, 30));
    (9..20).for_each(|n| life.remove(n));
    life.apply(100..110, 5..12);
    life
}

/// The same behind a clear.
fn cleared() -> Life {
    let mut life = same_size();
    life.store.checkpoint().expect("a checkpoint");
    life.store.clear().expect("clearing");
    life.insert_into(6, 25);
    life.store.sync().expect("syncing");
    life.insert(0, 0);
    life
}

/// Killed, and cut off from power, while a checkpoint writes in place: the header names a journal.
fn in_place_writes(life: Life, names: [&'static str; 2]) -> [Sample; 2] {
    let found: Arc<Mutex<Option<[SimDisk; 2]>>> = Arc::default();
    let seen = Arc::clone(&found);
    life.disk.on_call(move |disk, call| {
        let mut seen = seen.lock().expect("no panic");
        let bytes = disk.contents(PATH).unwrap_or_default();
        let names_a_journal = newest_slot(&bytes).and_then(|slot| journal_of(&bytes, slot)).is_some();
        if call.kind == CallKind::Sync && names_a_journal {
            // The last one with a journal: its pages are written, and the sync is still to come.
            let moment = disk.freeze();
            *seen = Some([moment.crash(1, Crash::Kill), moment.crash(2, Crash::Power)]);
        }
    });
    life.store.checkpoint().expect("a checkpoint");
    life.disk.off_call();
    let disks = found.lock().expect("no panic").take().expect("a checkpoint has a journal");
    let mut names = names.into_iter();
    disks.map(|disk| Sample::of(names.next().expect("two names"), &disk, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of structure is in one of the samples, and none is too large to fuzz.
    #[test]
    fn samples_have_everything() {
        let all = samples();
        assert!(all.iter().any(|sample| sample.layout.journal.is_some()));
        assert!(all.iter().any(|sample| sample.layout.index.len() > 3), "overflow chunks of both arrays");
        assert!(all.iter().any(|sample| sample.layout.segments.len() > 3));
        for sample in all {
            assert!(sample.bytes.len() < 1 << 20, "{}: {} bytes", sample.name, sample.bytes.len());
            println!("{}: {} bytes, {:?}", sample.name, sample.bytes.len(), sample.layout);
        }
    }
}
