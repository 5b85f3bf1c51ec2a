//! redb: one transaction a call.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::ids::sum;
use super::{Engine, Mode, Settings, copy_out};
use crate::data::{Key, Value};

const ENTRIES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("entries");

/// Without a commit that is synced now and then, redb keeps every page that was ever written.
const COMMITS_BETWEEN_SYNCS: u32 = 10_000;

pub struct Redb {
    db: Database,
    mode: Mode,
    unsynced: AtomicU32,
}

impl Redb {
    pub fn open(settings: &Settings) -> Result<Self> {
        let cache_bytes = usize::try_from(settings.cache_bytes)?;
        let db = Database::builder().set_cache_size(cache_bytes).create(settings.dir.join("store.redb"))?;
        let redb = Redb { db, mode: settings.mode, unsynced: AtomicU32::new(0) };
        redb.commit(Durability::Immediate, |_| Ok(()))?;
        Ok(redb)
    }

    fn write(&self, work: impl FnOnce(&mut Table<&[u8], &[u8]>) -> Result<()>) -> Result<()> {
        // Relaxed: a count, nothing is published by it.
        let unsynced = self.unsynced.fetch_add(1, Ordering::Relaxed) + 1;
        let sync = self.mode == Mode::Durable || unsynced.is_multiple_of(COMMITS_BETWEEN_SYNCS);
        self.commit(if sync { Durability::Immediate } else { Durability::None }, work)
    }

    fn commit(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Table<&[u8], &[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(durability)?;
        work(&mut transaction.open_table(ENTRIES)?)?;
        Ok(transaction.commit()?)
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|table| {
            table.insert(key, value)?;
            Ok(())
        })
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        self.write(|table| {
            for (key, value) in entries {
                table.insert(&key[..], &value[..])?;
            }
            Ok(())
        })
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        let table = self.db.begin_read()?.open_table(ENTRIES)?;
        let found = table.get(key)?;
        Ok(copy_out(value, found.as_ref().map(|found| found.value())))
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        self.write(|table| {
            let old = table.get(key)?.context("a key is missing")?;
            let new = sum(old.value(), delta).context("no number")?;
            drop(old);
            table.insert(key, &new[..])?;
            Ok(())
        })
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.write(|table| {
            table.remove(key)?;
            Ok(())
        })
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.db.begin_read()?.open_table(ENTRIES)?.iter()? {
            let (key, value) = entry?;
            visit(key.value(), value.value());
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.commit(Durability::Immediate, |_| Ok(()))
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        Ok(self.db.close()?)
    }
}
