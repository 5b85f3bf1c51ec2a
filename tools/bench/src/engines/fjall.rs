//! fjall, an LSM tree in Rust.

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Mode, Settings, copy_out};
use crate::data::{Key, Value};

pub struct Fjall {
    db: Database,
    entries: Keyspace,
    mode: Mode,
}

impl Fjall {
    pub fn open(settings: &Settings) -> Result<Self> {
        let db = Database::builder(settings.dir.join("fjall")).cache_size(settings.cache_bytes).open()?;
        let entries = db.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(Fjall { db, entries, mode: settings.mode })
    }

    fn persist_if_durable(&self) -> Result<()> {
        match self.mode {
            Mode::Buffered => Ok(()),
            Mode::Durable => Ok(self.db.persist(PersistMode::SyncData)?),
        }
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.entries.insert(key, value)?;
        self.persist_if_durable()
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        let mut batch = self.db.batch();
        for (key, value) in entries {
            batch.insert(&self.entries, key, value);
        }
        batch.commit()?;
        self.persist_if_durable()
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        Ok(copy_out(value, self.entries.get(key)?))
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.entries.remove(key)?;
        self.persist_if_durable()
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.entries.iter() {
            let (key, value) = entry.into_inner()?;
            visit(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
