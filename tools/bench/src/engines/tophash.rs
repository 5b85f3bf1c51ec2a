//! The store itself, with its defaults: checksums verified on every read, SipHash-1-3, growing from empty.

use anyhow::{Context, Result};
use tophash::{Durability, Options, Store};

use super::ids::sum;
use super::{Engine, Mode, Settings, Visit, copy_out};
use crate::data::{Key, Value};

pub struct Tophash(Store);

impl Tophash {
    pub fn open(settings: &Settings) -> Result<Self> {
        let durability = match settings.mode {
            Mode::Buffered => Durability::Buffered,
            Mode::Durable => Durability::Immediate,
        };
        let mut options = Options::new().durability(durability);
        if settings.larger_than_memory {
            options = options.index_memory_limit(settings.cache_bytes);
        }
        Ok(Tophash(options.open(settings.dir.join("store.tophash"))?))
    }
}

impl Engine for Tophash {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key, value)?;
        Ok(())
    }

    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        Ok(self.0.insert_many(entries.iter().map(|(key, value)| (key, value)))?)
    }

    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        Ok(copy_out(value, self.0.get(key)?.as_deref()))
    }

    fn get_many(&self, keys: &[Key], buffer: &mut Vec<u8>, visit: &mut Visit<'_>) -> Result<()> {
        for (key, value) in keys.iter().zip(self.0.get_many(keys)) {
            let found = copy_out(buffer, value?.as_deref());
            visit(key, found.then_some(buffer))?;
        }
        Ok(())
    }

    fn add(&self, key: &[u8], delta: i64, _: &mut Vec<u8>) -> Result<()> {
        let sum = |old: Option<&[u8]>| old.and_then(|old| sum(old, delta)).map(Vec::from);
        self.0.update(key, sum)?.context("a key is missing")?;
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<()> {
        self.0.remove(key)?;
        Ok(())
    }

    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for entry in &self.0 {
            let (key, value) = entry?;
            visit(&key, &value);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(self.0.sync()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}
