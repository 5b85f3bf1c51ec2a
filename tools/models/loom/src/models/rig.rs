//! The library's table over the model's memory.

use std::sync::Arc;

use crate::error::Result;
use crate::memory::{ModelHost, ModelPages, ModelRecords, Record, hash};
use crate::seam::Arrays as _;
use crate::table::{Array, Counters, Geometry, Growth, Host, LoadFactor, Table, Trigger, Walk, lookup};

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
        let existing = self.table.locate(&*self.records, hash, &[key]).unwrap().map(|(cell, _)| cell);
        let plan =
            self.table.prepare_put(&*self.host, &*self.records, hash, existing, Trigger::Replay).unwrap();
        let position = self.records.append(key, value);
        self.table.put(&*self.host, plan, hash, existing, position);
    }

    pub(crate) fn remove(&mut self, key: u8) {
        let hash = hash(key);
        let (cell, _) = self.table.locate(&*self.records, hash, &[key]).unwrap().expect("present");
        let plan = self.table.prepare_remove(&*self.host, &*self.records, hash, cell).unwrap();
        self.table.remove(&*self.host, plan, hash, cell);
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
        let found = lookup(|| self.host.published(), &*self.records, hash(key), &[key]).unwrap();
        found.map(|(_, record)| record.value)
    }

    /// Every entry of one iteration.
    pub(crate) fn walk(&self) -> Vec<Record> {
        let mut walk = Walk::new(&self.host.published(), 0);
        std::iter::from_fn(|| walk.next(|| self.host.published(), &*self.records))
            .collect::<Result<_>>()
            .unwrap()
    }
}
