//! The store's own map of numbers: its cells hold keys and values themselves. With its defaults, growing from empty.

use anyhow::{Context, Result};
use tophash::{Durability, Map, Options};

use super::Settings;
use super::ids::Ids;

pub struct TophashMap(Map<u64, u64>);

impl TophashMap {
    pub fn open(settings: &Settings) -> Result<Self> {
        let options = Options::new().durability(Durability::Buffered);
        Ok(TophashMap(options.open_map(settings.dir.join("ids.tophash"))?))
    }
}

impl Ids for TophashMap {
    fn put(&self, id: u64, number: u64) -> Result<()> {
        self.0.insert(id, number)?;
        Ok(())
    }

    fn get(&self, id: u64) -> Result<Option<u64>> {
        Ok(self.0.get(&id)?)
    }

    fn add(&self, id: u64, delta: i64) -> Result<()> {
        self.0.add(id, u64::try_from(delta).context("an id's number only grows")?)?;
        Ok(())
    }

    fn remove(&self, id: u64) -> Result<()> {
        self.0.remove(&id)?;
        Ok(())
    }

    fn iterate(&self, visit: &mut dyn FnMut(u64, u64)) -> Result<()> {
        for entry in &self.0 {
            let (id, number) = entry?;
            visit(id, number);
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
