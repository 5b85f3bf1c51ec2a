//! Every single bit of a file flipped in turn, and the file cut off at every length.
//!
//! The files have all that a file can have, and are small: millions of them are opened and read whole. Each byte
//! counts, also those that nobody has written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tophash::sim::Crash;

use crate::content::Key;
use crate::damage::{Access, Outcome, Outcomes, SECTOR, Sample, disk_with, examine};
use crate::life::Op;
use crate::program::{PATH, Setup, Step};
use crate::script::{ORDINARY, Script};
use crate::subject::{Form, Layouts};
use crate::tally::Tally;

/// One flip in so many is also opened for writing.
const WRITTEN_ONE_IN: usize = 61;
/// A prime that divides no number of sectors here, so that a part of all cycles is spread over the files.
const STRIDE: u64 = 100_003;

/// A doubling of eight buckets cut short, with overflow chunks, large records, and records of no use any more.
fn life(form: Form) -> (Script, Vec<Key>) {
    let mut script = Script::new(form);
    let keys = script.insert_new(14, 5);
    let chain = script.insert_into(2, 16, 20);
    script.insert(&form.key(""), 0);
    script.insert(&form.key("k".repeat(300)), 40);
    script.insert(&keys[0], 3000);
    chain[..3].iter().for_each(|key| script.remove(key));
    script.push(Step::Reopen);
    script.insert(&keys[1], 65_600);
    script.insert(&keys[2], ORDINARY);
    (script, keys)
}

/// A store that was closed.
pub fn closed(form: Form) -> Sample {
    let (mut script, _) = life(form);
    script.insert_new(20, 9);
    // Evacuates the long chain: the new array has overflow buckets too then.
    script.insert_into(2, 16, 1);
    Sample::closed(&script.end(), Setup::ORDINARY.with(form))
}

/// One that was killed, with a log to replay, in the middle of the same growth.
pub fn killed(form: Form) -> Sample {
    let (mut script, keys) = life(form);
    script.insert_new(20, 9);
    script.checkpoint();
    script.insert_into(2, 16, 1);
    script.sync();
    let last = [Step::Do(Op::Remove(keys[4].clone()))];
    Sample::killed(&script.end(), &last, Setup::ORDINARY.with(form))
}

/// The files to damage, and what became of it.
pub struct Flips {
    samples: Vec<(String, Sample)>,
    /// What became of the damage.
    pub outcomes: Outcomes,
    longest: Option<Duration>,
    longest_us: AtomicU64,
}

impl Flips {
    /// Makes the files of these layouts. No examination may take longer than `longest`, measured twice.
    pub fn new(layouts: Layouts, longest: Option<Duration>) -> Self {
        let forms: &[Form] = match layouts {
            Layouts::Record => &[Form::Records],
            Layouts::Inline => &[Form::Words, Form::Odd],
            Layouts::Both => &[Form::Records, Form::Words, Form::Odd],
        };
        let both = |&form: &Form| {
            let name = form.name();
            [
                (format!("closed store of {name}"), closed(form)),
                (format!("killed store of {name}"), killed(form)),
            ]
        };
        let samples = forms.iter().flat_map(both).collect();
        Flips { samples, outcomes: Outcomes::default(), longest, longest_us: AtomicU64::new(0) }
    }

    /// How long the longest examination took.
    pub fn longest_examination(&self) -> Duration {
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }

    /// So many cycles damage everything once.
    pub fn cycles(&self) -> u64 {
        self.samples.iter().map(|(_, sample)| sectors(sample)).sum()
    }

    /// Damages one sector of one of the files: the seed says which.
    pub fn cycle(&self, seed: u64, tally: &Tally) -> Result<(), String> {
        let mut sector = (seed % self.cycles()) * STRIDE % self.cycles();
        for (name, sample) in &self.samples {
            if sector < sectors(sample) {
                let start = sector as usize * SECTOR;
                tally.moment();
                self.flip(name, sample, start, tally)?;
                self.cut_off(name, sample, start, tally);
                return Ok(());
            }
            sector -= sectors(sample);
        }
        Ok(())
    }

    fn flip(&self, name: &str, sample: &Sample, start: usize, tally: &Tally) -> Result<(), String> {
        let disk = sample.disk();
        for bit in start * 8..(start + SECTOR) * 8 {
            let (at, byte) = ((bit / 8) as u64, sample.bytes[bit / 8]);
            disk.overwrite(PATH, at, &[byte ^ 1 << (bit % 8)]);
            let label = |access: Access| move || format!("{name}, bit {} of byte {at}, {access:?}", bit % 8);
            let read = || self.count(|| examine(&disk, sample, Access::Read));
            tally.image(label(Access::Read), read);
            if bit % WRITTEN_ONE_IN == start / SECTOR % WRITTEN_ONE_IN {
                let write = || examine(&disk.crash(0, Crash::Kill), sample, Access::Write);
                tally.image(label(Access::Write), || self.count(write));
            }
            disk.overwrite(PATH, at, &[byte]);
        }
        match disk.contents(PATH).as_ref() == Some(&sample.bytes) {
            true => Ok(()),
            false => Err(format!("{name}: a read-only open changed the file")),
        }
    }

    /// Counts what `examine` returns; one that takes too long is wrong.
    fn count(&self, examine: impl Fn() -> Result<Outcome, String>) -> Result<(), String> {
        let timed = || {
            let begun = Instant::now();
            examine().map(|outcome| (outcome, begun.elapsed()))
        };
        let (outcome, mut took) = timed()?;
        if self.longest.is_some_and(|longest| took > longest) {
            // Another program may have had the processor.
            took = took.min(timed()?.1);
        }
        if self.longest.is_some_and(|longest| took > longest) {
            return Err(format!("took {took:?}"));
        }
        self.outcomes.count(outcome);
        self.longest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn cut_off(&self, name: &str, sample: &Sample, start: usize, tally: &Tally) {
        for length in start..start + SECTOR {
            let disk = disk_with(&sample.bytes[..length]);
            let read = || self.count(|| examine(&disk, sample, Access::Read));
            tally.image(|| format!("{name}, cut off at {length}"), read);
        }
    }
}

fn sectors(sample: &Sample) -> u64 {
    (sample.bytes.len() / SECTOR) as u64
}

#[cfg(test)]
mod tests {
    use tophash::report::GrowthKind;

    use super::*;

    #[test]
    fn the_files_have_everything() {
        for (name, sample) in Flips::new(Layouts::Both, None).samples {
            assert!(sample.bytes.len() >= 64 << 10 && sample.bytes.len().is_multiple_of(SECTOR));
            let store = sample.open(&sample.disk(), Access::Read).unwrap();
            let growth = store.growth().unwrap();
            assert_eq!(growth.kind, Some(GrowthKind::Double));
            assert!((1..growth.old_buckets).contains(&growth.nevacuate), "{growth:?}");
            let extents = store.info().unwrap().extents;
            assert!(extents.iter().any(|extent| extent.what == "old overflow buckets"), "{extents:?}");
            assert!(store.stats().unwrap().chain_lengths.len() > 2, "{name}");
            if store.form() == Form::Records {
                assert!(store.entries().any(|entry| entry.unwrap().1.len() > 1 << 16));
            }
        }
    }

    #[test]
    fn each_cycle_is_another_sector() {
        let flips = Flips::new(Layouts::Both, None);
        let cycles = flips.cycles();
        let sectors: std::collections::BTreeSet<u64> =
            (0..cycles).map(|seed| seed * STRIDE % cycles).collect();
        assert_eq!(sectors.len() as u64, cycles);
    }

    #[test]
    fn a_share_of_all_flips_is_well() {
        let flips = Flips::new(Layouts::Both, None);
        let tally = Tally::new("flips");
        (0..6).for_each(|seed| flips.cycle(seed * 61, &tally).unwrap());
        println!("{}", flips.outcomes);
        tally.end();
    }
}
