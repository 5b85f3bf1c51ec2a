//! sled 0.34, the last that its authors call a release.

use anyhow::{Context, Result};
use sled::{Db, Mode as SledMode};

use super::ids::sum;
use super::{Engine, Mode, Settings, copy_out};
use crate::data::{Key, Value};

pub struct Sled {
    db: Db,
    mode: Mode,
}

impl Sled {
    pub fn open(settings: &Settings) -> Result<Self> {
        let config = sled::Config::new()
            .path(settings.dir.join("sled"))
            .mode(SledMode::HighThroughput)
            .cache_capacity(settings.cache_bytes);
        Ok(Sled { db: config.open()?, mode: settings.mode })
    }

    fn flush_if_durable(&self) -> Result<()> {
        match self.mode {
            Mode::Buffered => Ok(()),
            Mode::Durable => self.sync(),
        }
    }
}

impl Engine for Sled {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert(key, value)?;
        self.flush_if_durable()
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in entries {
            batch.insert(&key[..], &value[..]);
        }
        self.db.apply_batch(batch)?;
        self.flush_if_durable()
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        Ok(copy_out(value, self.db.get(key)?))
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        let sum = |old: Option<&[u8]>| old.and_then(|old| sum(old, delta)).map(Vec::from);
        self.db.update_and_fetch(key, sum)?.context("no number is there")?;
        self.flush_if_durable()
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.db.remove(key)?;
        self.flush_if_durable()
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in self.db.iter() {
            let (key, value) = entry?;
            visit(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
