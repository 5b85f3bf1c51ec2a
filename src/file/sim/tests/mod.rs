//! What the simulated disk promises, one behaviour at a time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::file::media::{Access, Mapping, Media, Volume};
use crate::file::region::{Appender, RecordMemory};

mod crashes;
mod faults;
mod programs;

const PATH: &str = "dir/file";
const SEEDS: std::ops::Range<u64> = if cfg!(miri) { 0..40 } else { 0..300 };

/// A disk that does nothing by chance, with an empty file whose name is durable.
fn disk() -> (SimDisk, Arc<dyn Media>) {
    let disk = SimDisk::new(1);
    disk.write_back_one_in(0);
    let (temporary, file) = disk.create_temporary(Path::new(PATH)).unwrap();
    assert!(disk.publish(&temporary, Path::new(PATH)).unwrap());
    disk.sync_directory(Path::new(PATH)).unwrap();
    (disk, file)
}

/// The same, where the file holds `bytes`, all durable.
fn disk_with(bytes: &[u8]) -> (SimDisk, Arc<dyn Media>) {
    let (disk, file) = disk();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    (disk, file)
}

fn open(disk: &SimDisk, access: Access) -> Arc<dyn Media> {
    disk.open(Path::new(PATH), access).unwrap().unwrap()
}

fn appender(file: &Arc<dyn Media>, offset: u64, len: usize) -> Appender {
    let memory = RecordMemory::new(file.map(Mapping::Shared, offset, len).unwrap(), 0);
    let window = memory.window(&**file, offset, 0..len).unwrap();
    let mut appender = memory.appender().unwrap();
    assert!(appender.move_to(window).is_none());
    appender
}

/// What power cuts at this moment leave of the file, one for each seed.
fn power_cuts(disk: &SimDisk) -> Vec<Vec<u8>> {
    let moment: Moment = disk.freeze();
    SEEDS.map(|seed| moment.crash(seed, Crash::Power).contents(PATH).unwrap()).collect()
}

/// The different outcomes among them, cut down by `view`.
fn outcomes<T: Ord>(disk: &SimDisk, view: impl Fn(Vec<u8>) -> T) -> BTreeSet<T> {
    power_cuts(disk).into_iter().map(view).collect()
}

fn write(appender: &mut Appender, at: usize, bytes: &[u8]) {
    appender.compose(at, bytes.len(), |to| to.copy_from_slice(bytes));
}
