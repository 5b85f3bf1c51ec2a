//! Damage: bits that flip, sectors that are lost or written to the wrong place (D4, D12).
//!
//! Never a wrong value, never a false "not found", never a panic: what is read is what was written, or an error that
//! names the place.

use std::path::Path;

use tophash::sim::{Crash, SimDisk};
use tophash::{Error, Store};

use tophash_crash::content::{Content, Digest, Payload, mix_all};
use tophash_crash::image::{Expected, judge_store};
use tophash_crash::life::Life;
use tophash_crash::program::{PATH, Program, Progress, Step, options};
use tophash_crash::script::unlucky_life;
use tophash_crash::tally::Tally;

const SECTOR: usize = 512;

/// A file, and what is in it.
struct Sample {
    bytes: Vec<u8>,
    life: Life,
}

impl Sample {
    /// Of a store that was closed.
    fn closed() -> Self {
        Self::after(&unlucky_life(), true)
    }

    /// Of one that was killed.
    fn killed() -> Self {
        let mut script = unlucky_life();
        script.truncate(script.len() * 3 / 4);
        Self::after(&script, false)
    }

    fn after(script: &[Step], close: bool) -> Self {
        let disk = SimDisk::new(14);
        let mut program = Program::new(disk.clone(), Life::new(), Progress::default());
        program.open();
        program.run(script);
        let life = program.life().fork(program.life().len());
        let image = disk.crash(1, Crash::Kill);
        program.end();
        let bytes = if close { disk.contents(PATH) } else { image.contents(PATH) };
        Sample { bytes: bytes.unwrap(), life }
    }

    fn content(&self) -> Content {
        self.life.content_after(self.life.len())
    }
}

/// What became of the damage.
#[derive(Default, Debug)]
struct Outcomes {
    refused: usize,
    found_by_reading: usize,
    harmless: usize,
}

/// Opens a damaged file and reads all of it.
fn examine(bytes: &[u8], sample: &Sample, outcomes: &mut Outcomes) -> Result<(), String> {
    let disk = SimDisk::new(15);
    disk.put(PATH, bytes);
    let store = match options(&disk).create(false).open(Path::new(PATH)) {
        Ok(store) => store,
        Err(Error::Corrupt { .. } | Error::NotTophash { .. } | Error::Version { .. }) => {
            outcomes.refused += 1;
            return Ok(());
        }
        Err(error) => return Err(format!("opening: {error:?}")),
    };
    match read_all(&store, &sample.content())? {
        0 => {
            outcomes.harmless += 1;
            let all = Expected { life: &sample.life, least: sample.life.len(), most: sample.life.len() };
            // Damage to what nobody reads, like a record that is replaced, may show here alone.
            judge_store(&store, all).map(|_| ()).or_else(|_| match store.verify() {
                Ok(verification) if !verification.is_clean() => Ok(()),
                other => Err(format!("all reads are well, but {other:?}")),
            })
        }
        _ => {
            outcomes.found_by_reading += 1;
            match store.verify() {
                Ok(verification) if verification.is_clean() => {
                    Err("an error when read, but it verifies".into())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(format!("verifying: {error}")),
            }
        }
    }
}

/// Reads each key, and some that are not there; returns how many gave an error.
fn read_all(store: &Store, content: &Content) -> Result<usize, String> {
    let mut errors = 0;
    for key in content.keys() {
        match store.get(key) {
            Ok(Some(value)) if Payload::recognise(&value) == content.get(key) => {}
            Err(Error::Corrupt { .. }) => errors += 1,
            other => {
                return Err(format!("{key:?} is {:?}", other.map(|value| value.map(|value| value.len()))));
            }
        }
    }
    for n in 0..20 {
        match store.get(format!("absent {n}")) {
            Ok(None) => {}
            Err(Error::Corrupt { .. }) => errors += 1,
            other => return Err(format!("an absent key is {other:?}")),
        }
    }
    if errors == 0 && Digest::of(store)? != content.digest() {
        return Err("iterating finds something else than getting".into());
    }
    Ok(errors)
}

fn damage_everywhere(
    name: &'static str,
    sample: &Sample,
    damages: impl Iterator<Item = (String, Vec<u8>)>,
) -> Outcomes {
    let tally = Tally::new(name);
    let mut outcomes = Outcomes::default();
    for (what, bytes) in damages {
        tally.moment();
        tally.image(|| what.clone(), || examine(&bytes, sample, &mut outcomes));
    }
    println!("{name}: {outcomes:?}");
    tally.end();
    outcomes
}

/// One bit of each 67 bytes, another one of each.
fn flipped_bits(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..bytes.len()).step_by(67).map(move |at| {
        let at = (at + (mix_all(&[at as u64]) % 67) as usize).min(bytes.len() - 1);
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (mix_all(&[at as u64, 1]) % 8);
        (format!("a bit of byte {at}"), damaged)
    })
}

#[test]
fn flipped_bits_of_a_closed_file_are_found() {
    let sample = Sample::closed();
    let outcomes = damage_everywhere("flipped bits", &sample, flipped_bits(&sample.bytes));
    assert!(outcomes.refused > 0 && outcomes.found_by_reading > 0 && outcomes.harmless > 0, "{outcomes:?}");
}

/// Each sector is zeros, or holds what another one should.
#[test]
fn lost_and_misdirected_sectors_of_a_closed_file_are_found() {
    let sample = Sample::closed();
    let sectors = sample.bytes.len() / SECTOR;
    let damages = (0..sectors).flat_map(|sector| {
        let other = (mix_all(&[sector as u64]) % sectors as u64) as usize;
        let there = sector * SECTOR..(sector + 1) * SECTOR;
        let mut lost = sample.bytes.clone();
        lost[there.clone()].fill(0);
        let mut misdirected = sample.bytes.clone();
        misdirected.copy_within(other * SECTOR..(other + 1) * SECTOR, there.start);
        [
            (format!("sector {sector} is zeros"), lost),
            (format!("sector {sector} is sector {other}"), misdirected),
        ]
    });
    damage_everywhere("lost and misdirected sectors", &sample, damages);
}

/// Each page as it was one checkpoint before.
#[test]
fn pages_that_a_write_never_reached_are_found() {
    let script = unlucky_life();
    let early = Sample::after(&script[..script.len() * 2 / 3], true);
    let sample = Sample::closed();
    let page = 4096;
    let damages = (2..early.bytes.len().min(sample.bytes.len()) / page).map(|number| {
        let there = number * page..(number + 1) * page;
        let mut stale = sample.bytes.clone();
        stale[there.clone()].copy_from_slice(&early.bytes[there]);
        (format!("page {number} is an old one"), stale)
    });
    damage_everywhere("stale pages", &sample, damages);
}

/// In a store that was killed, what was synced is never taken for a torn tail (D4).
#[test]
fn damage_to_what_was_synced_is_no_torn_tail() {
    let sample = Sample::killed();
    let tally = Tally::new("damaged logs");
    let synced = sample.life.len() - 2;
    let mut refused = 0;
    for (what, bytes) in flipped_bits(&sample.bytes) {
        tally.moment();
        tally.image(
            || what.clone(),
            || {
                let disk = SimDisk::new(16);
                disk.put(PATH, &bytes);
                let Ok(store) = options(&disk).create(false).open(Path::new(PATH)) else {
                    refused += 1;
                    return Ok(());
                };
                let Ok(digest) = Digest::of(&store) else { return Ok(()) };
                let found = sample.life.find(digest, synced, sample.life.len());
                found.map(|_| ()).ok_or_else(|| format!("{} entries, less than was synced", digest.entries))
            },
        );
    }
    assert!(refused > 20, "{refused}");
    tally.end();
}

/// Pages of the table that no checkpoint has written read as zeros, whatever the file holds there (D12).
#[test]
fn absent_pages_are_zeros_whatever_the_file_holds() {
    let disk = SimDisk::new(17);
    let store = options(&disk).capacity(5000).open(Path::new(PATH)).unwrap();
    for n in 0..6u64 {
        store.insert(format!("k{n}"), "value").unwrap();
    }
    let extents = store.info().unwrap().extents;
    store.close().unwrap();
    let mut bytes = disk.contents(PATH).unwrap();
    let array = extents.iter().find(|extent| extent.what == "buckets").unwrap();
    let pages = bytes[array.offset as usize..][..array.bytes as usize].chunks_mut(4096);
    let mut absent = 0;
    for page in pages.filter(|page| page.iter().all(|&byte| byte == 0)) {
        page.fill(0x77);
        absent += 1;
    }
    assert!(absent > 10, "{absent}");
    disk.put(PATH, &bytes);
    let store = options(&disk).open(Path::new(PATH)).unwrap();
    assert!((0..6u64).all(|n| store.get(format!("k{n}")).unwrap().unwrap() == "value"));
    for n in 0..1000 {
        store.insert(format!("other {n}"), "value").unwrap();
    }
    assert!(store.verify().unwrap().is_clean());
    store.close().unwrap();
    assert_eq!(options(&disk).open(Path::new(PATH)).unwrap().len(), 1006);
}
