//! The library's table over the model's memory.

use std::sync::Arc;

use crate::entries::Entries;
use crate::memory::{ModelHost, ModelPages, ModelRecords};
use crate::seam::Arrays as _;
use crate::table::{Array, Counters, Geometry, Growth, Host, LoadFactor, Table, Trigger};

/// The writer's side.
pub(crate) struct Rig<E = ModelRecords, H: Host<Pages = ModelPages> = ModelHost> {
    pub(crate) host: Arc<H>,
    pub(crate) entries: Arc<E>,
    pub(crate) table: Table<ModelPages>,
}

impl<E: Entries> Rig<E> {
    /// An empty table of 2^b buckets.
    pub(crate) fn new(b: u8) -> Self {
        let host = ModelHost::of(E::SHAPE);
        let main = host.reserve(Array::<ModelPages>::main_bytes(E::SHAPE, b)).unwrap();
        let rig = Rig::over(b, main, |_| host);
        rig.host.publish(rig.table.geometry());
        rig
    }

    /// What a reader needs.
    pub(crate) fn reader(&self) -> Reader<E> {
        Reader { host: Arc::clone(&self.host), entries: Arc::clone(&self.entries) }
    }
}

impl<E: Entries, H: Host<Pages = ModelPages>> Rig<E, H> {
    // Neither this nor what changes the table is inlined: a model's stack is small.
    #[inline(never)]
    pub(crate) fn over(b: u8, main: ModelPages, host: impl FnOnce(&Arc<Geometry<ModelPages>>) -> H) -> Self {
        let array = Arc::new(Array::new(E::SHAPE, b, main));
        let geometry = Geometry { array, old: None, clears: 0 };
        let counters = Counters { next_overflow: 1 << b, ..Counters::default() };
        let table = Table::from_parts(geometry, counters, LoadFactor::default()).unwrap();
        let host = Arc::new(host(table.geometry()));
        Rig { host, entries: Arc::default(), table }
    }

    #[inline(never)]
    pub(crate) fn put(&mut self, key: u8, value: u64) {
        self.entries.put(&*self.host, &mut self.table, (key, value), Trigger::Replay);
    }

    #[inline(never)]
    pub(crate) fn remove(&mut self, key: u8) {
        self.entries.remove(&*self.host, &mut self.table, key, Trigger::Replay);
    }

    #[inline(never)]
    pub(crate) fn grow(&mut self, growth: Growth) {
        self.table.replay_growth(&*self.host, growth).unwrap();
    }

    #[inline(never)]
    pub(crate) fn clear(&mut self) {
        let plan = self.table.prepare_clear(&*self.host).unwrap();
        self.table.clear(&*self.host, plan);
    }
}

/// A reader's side.
pub(crate) struct Reader<E = ModelRecords> {
    host: Arc<ModelHost>,
    entries: Arc<E>,
}

impl<E: Entries> Reader<E> {
    pub(crate) fn get(&self, key: u8) -> Option<u64> {
        self.entries.look_up(|| self.host.published(), key)
    }

    /// Every entry of one iteration.
    pub(crate) fn walk(&self) -> Vec<(u8, u64)> {
        self.entries.walk(|| self.host.published(), 0)
    }
}
