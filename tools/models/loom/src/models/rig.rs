//! The library's table over the model's memory.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::Result;
use crate::memory::{ModelHost, ModelPages, ModelRecords, Record, hash};
use crate::seam::{Arrays as _, Records as _};
use crate::table::{Array, Counters, Geometry, Growth, Host, LoadFactor, Table, Trigger, Walk, lookup, peek};

/// The writer's side.
pub(crate) struct Rig<H: Host<Pages = ModelPages> = ModelHost> {
    pub(crate) host: Arc<H>,
    pub(crate) records: Arc<ModelRecords>,
    pub(crate) table: Table<ModelPages>,
}

impl Rig {
    /// An empty table of 2^b buckets.
    pub(crate) fn new(b: u8) -> Self {
        let host = ModelHost::new();
        let main = host.reserve(Array::<ModelPages>::main_bytes(b)).unwrap();
        let rig = Rig::over(b, main, |_| host);
        rig.host.publish(rig.table.geometry());
        rig
    }

    /// What a reader needs.
    pub(crate) fn reader(&self) -> Reader {
        Reader { host: Arc::clone(&self.host), records: Arc::clone(&self.records) }
    }
}

impl<H: Host<Pages = ModelPages>> Rig<H> {
    pub(crate) fn over(b: u8, main: ModelPages, host: impl FnOnce(&Arc<Geometry<ModelPages>>) -> H) -> Self {
        let geometry = Geometry { array: Arc::new(Array::new(b, main)), old: None, clears: 0 };
        let counters = Counters { next_overflow: 1 << b, ..Counters::default() };
        let table = Table::from_parts(geometry, counters, LoadFactor::default()).unwrap();
        let host = Arc::new(host(table.geometry()));
        Rig { host, records: Arc::new(ModelRecords::new(24)), table }
    }

    pub(crate) fn put(&mut self, key: u8, value: u64) {
        let hash = hash(key);
        let (spot, _) = self.table.locate(&*self.records, hash, &[key]).unwrap();
        let plan = self.table.prepare_put(&*self.host, &*self.records, hash, spot, Trigger::Replay).unwrap();
        let position = self.records.append(key, value);
        self.table.put(&*self.host, plan, hash, position);
    }

    pub(crate) fn remove(&mut self, key: u8) {
        let hash = hash(key);
        let (spot, found) = self.table.locate(&*self.records, hash, &[key]).unwrap();
        assert!(found.is_some(), "present");
        let plan =
            self.table.prepare_remove(&*self.host, &*self.records, hash, spot, Trigger::Replay).unwrap();
        self.table.remove(&*self.host, plan, hash);
    }

    pub(crate) fn grow(&mut self, growth: Growth) {
        self.table.replay_growth(&*self.host, growth).unwrap();
    }

    pub(crate) fn clear(&mut self) {
        let plan = self.table.prepare_clear(&*self.host).unwrap();
        self.table.clear(&*self.host, plan);
    }
}

/// A reader's side.
pub(crate) struct Reader {
    host: Arc<ModelHost>,
    records: Arc<ModelRecords>,
}

impl Reader {
    pub(crate) fn get(&self, key: u8) -> Option<u64> {
        look_up(|| self.host.published(), &self.records, key).map(|record| record.value)
    }

    /// Every entry of one iteration, as the store makes it: in the bucket where it is, and where that has no more,
    /// everywhere.
    pub(crate) fn walk(&self) -> Vec<Record> {
        let mut walk = Walk::new(&self.host.published(), 0);
        let step = || match walk.peek(&self.host.published(), &*self.records) {
            Some(record) => Some(Ok(record)),
            None => walk.next(|| self.host.published(), &*self.records),
        };
        std::iter::from_fn(step).collect::<Result<_>>().unwrap()
    }
}

/// A lookup as the store makes it: at the key's bucket, and where that does not decide, everywhere.
pub(crate) fn look_up<G>(published: impl Fn() -> G, records: &ModelRecords, key: u8) -> Option<Record>
where
    G: Deref<Target = Geometry<ModelPages>>,
{
    let matching = |position| records.matching(position, &[key]);
    peek(&published(), hash(key), |position| matching(position).ok())
        .unwrap_or_else(|| lookup(published, hash(key), matching).unwrap().map(|(_, record)| record))
}
