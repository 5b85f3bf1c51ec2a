//! The engines, one file each, behind one trait. `README.md` says why each is set as it is.

#[cfg(feature = "c-tables")]
mod c;
mod fjall;
mod hashbrown;
mod ids;
mod lmdb;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod tophash;
mod tophash_map;

use std::fmt::{Display, Formatter};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::data::{Key, Value, Widths};

pub use ids::Ids;

/// Is told a key and its value, if it has one.
pub type Visit<'a> = dyn FnMut(&Key, Option<&[u8]>) -> Result<()> + 'a;

/// A key-value store, as every workload sees it.
pub trait Engine {
    /// One committed write, visible to readers when this returns; on disk too in [`Mode::Durable`].
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Several writes, in one transaction where the engine has them.
    fn put_batch(&self, entries: &[(Key, Value)]) -> Result<()> {
        entries.iter().try_for_each(|(key, value)| self.put(key, value))
    }

    /// Copies the value into the caller's buffer; false if the key is absent.
    fn get(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool>;

    /// The values of several keys, in their order; at once where the engine can look up many together.
    fn get_many(&self, keys: &[Key], buffer: &mut Vec<u8>, visit: &mut Visit<'_>) -> Result<()> {
        keys.iter().try_for_each(|key| {
            let found = self.get(key, buffer)?;
            visit(key, found.then_some(buffer))
        })
    }

    /// Adds to the big-endian number of a key that is there: in one write where the engine can, else got and put.
    fn add(&self, key: &[u8], delta: i64, buffer: &mut Vec<u8>) -> Result<()> {
        ensure!(self.get(key, buffer)?, "a key is missing: {key:02x?}");
        self.put(key, &ids::sum(buffer, delta).context("no number")?)
    }

    fn remove(&self, key: &[u8]) -> Result<()>;

    /// Every entry, in the engine's order.
    fn iterate(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;

    /// What was written is on disk when this returns.
    fn sync(&self) -> Result<()>;

    fn close(self: Box<Self>) -> Result<()>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Visible at once, not synced; survives the process's end where the engine can do that without syncing.
    Buffered,
    /// Synced before a write returns.
    Durable,
}

/// What an engine is told when it is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A directory that is the engine's own.
    pub dir: PathBuf,
    /// How many entries there will be; only those that must be told may use it for their table.
    pub entries: u64,
    pub widths: Widths,
    pub mode: Mode,
    /// For engines that have a cache of their own.
    pub cache_bytes: u64,
    pub larger_than_memory: bool,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Tophash,
    TophashMap,
    Lmdb,
    Redb,
    Fjall,
    Rocksdb,
    Sled,
    Tkrzw,
    TkrzwUntold,
    Kyoto,
    Tdb,
    Hashbrown,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Tophash,
        Kind::TophashMap,
        Kind::Lmdb,
        Kind::Redb,
        Kind::Fjall,
        Kind::Rocksdb,
        Kind::Sled,
        Kind::Tkrzw,
        Kind::TkrzwUntold,
        Kind::Kyoto,
        Kind::Tdb,
        Kind::Hashbrown,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Tophash => "tophash",
            Kind::TophashMap => "tophash map",
            Kind::Lmdb => "LMDB",
            Kind::Redb => "redb",
            Kind::Fjall => "fjall",
            Kind::Rocksdb => "RocksDB",
            Kind::Sled => "sled",
            Kind::Tkrzw => "tkrzw",
            Kind::TkrzwUntold => "tkrzw, untold",
            Kind::Kyoto => "Kyoto",
            Kind::Tdb => "TDB",
            Kind::Hashbrown => "hashbrown",
        }
    }

    pub fn is_built(self) -> bool {
        let is_c_table = self.is_told() || self == Kind::TkrzwUntold;
        (cfg!(feature = "rocksdb") || self != Kind::Rocksdb) && (cfg!(feature = "c-tables") || !is_c_table)
    }

    /// Whether it is told in advance how many entries there will be, and never grows its table.
    pub fn is_told(self) -> bool {
        matches!(self, Kind::Tkrzw | Kind::Kyoto | Kind::Tdb)
    }

    pub fn is_in_memory(self) -> bool {
        self == Kind::Hashbrown
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Kind::Tophash | Kind::TophashMap)
    }

    pub fn is_disk_peer(self) -> bool {
        !self.is_ours() && !self.is_in_memory()
    }

    /// Whether it keeps numbers alone, and is opened by [`open_ids`](Kind::open_ids).
    pub fn is_of_numbers(self) -> bool {
        self == Kind::TophashMap
    }

    /// Opens it for one thread: a map in memory has no lock then.
    pub fn open(self, settings: &Settings) -> Result<Box<dyn Engine>> {
        match self {
            Kind::Hashbrown => Ok(Box::new(hashbrown::alone())),
            _ => Ok(self.open_shared(settings)?),
        }
    }

    /// Opens it for one thread, to keep numbers.
    pub fn open_ids(self, settings: &Settings) -> Result<Box<dyn Ids>> {
        std::fs::create_dir_all(&settings.dir)?;
        Ok(match self {
            Kind::TophashMap => Box::new(tophash_map::TophashMap::open(settings)?),
            Kind::Lmdb => Box::new(ids::Bytes::new(Box::new(lmdb::OfIntegers::open(settings)?))),
            Kind::Hashbrown => Box::new(hashbrown::Numbers::default()),
            _ => Box::new(ids::Bytes::new(self.open(settings)?)),
        })
    }

    pub fn open_shared(self, settings: &Settings) -> Result<Box<dyn Engine + Sync>> {
        std::fs::create_dir_all(&settings.dir)?;
        Ok(match self {
            Kind::Tophash => Box::new(tophash::Tophash::open(settings)?),
            Kind::TophashMap => bail!("{} keeps numbers alone: see `ids`", self.name()),
            Kind::Lmdb => Box::new(lmdb::OfBytes::open(settings)?),
            Kind::Redb => Box::new(redb::Redb::open(settings)?),
            Kind::Fjall => Box::new(fjall::Fjall::open(settings)?),
            Kind::Sled => Box::new(sled::Sled::open(settings)?),
            Kind::Hashbrown => Box::new(hashbrown::locked()),
            #[cfg(feature = "rocksdb")]
            Kind::Rocksdb => Box::new(rocksdb::Rocks::open(settings)?),
            #[cfg(feature = "c-tables")]
            Kind::Tkrzw => Box::new(c::tkrzw::Tkrzw::open(settings, Some(settings.entries))?),
            #[cfg(feature = "c-tables")]
            Kind::TkrzwUntold => Box::new(c::tkrzw::Tkrzw::open(settings, None)?),
            #[cfg(feature = "c-tables")]
            Kind::Kyoto => Box::new(c::kyoto::Kyoto::open(settings)?),
            #[cfg(feature = "c-tables")]
            Kind::Tdb => Box::new(c::tdb::Tdb::open(settings)?),
            #[cfg(not(all(feature = "rocksdb", feature = "c-tables")))]
            missing => bail!("{} is not built in: build with --all-features", missing.name()),
        })
    }
}

/// As on the command line.
impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(clap::ValueEnum::to_possible_value(self).expect("no variant is skipped").get_name())
    }
}

/// Puts the bytes into the caller's buffer, for [`Engine::get`].
fn copy_out(value: &mut Vec<u8>, found: Option<impl AsRef<[u8]>>) -> bool {
    value.clear();
    found.map(|bytes| value.extend_from_slice(bytes.as_ref())).is_some()
}

#[cfg(test)]
mod tests;
