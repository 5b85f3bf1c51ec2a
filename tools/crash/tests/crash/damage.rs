//! Damage: bits that flip, sectors that are lost or written to the wrong place (D4, D12).
//!
//! Never a wrong value, never a false "not found", never a panic: what is read is what was written, or an error that
//! names the place.

use std::sync::Arc;

use tophash::sim::SimDisk;

use tophash_crash::content::mix_all;
use tophash_crash::damage::{Access, Damage, Outcome, Outcomes, SECTOR, Sample, disk_with, examine};
use tophash_crash::program::{PATH, Setup, Step};
use tophash_crash::script::unlucky_life;
use tophash_crash::subject::{Form, Layouts, Subject};
use tophash_crash::suite;
use tophash_crash::tally::Tally;

fn closed(form: Form) -> Sample {
    Sample::closed(&unlucky_life(form), Setup::ORDINARY.with(form))
}

/// One that was killed a few operations behind a sync.
fn killed(form: Form) -> Sample {
    let mut script = unlucky_life(form);
    let last = script.split_off(script.len() * 3 / 4);
    let mark = last.iter().position(|step| matches!(step, Step::Sync | Step::Checkpoint)).unwrap_or(0);
    script.extend_from_slice(&last[..=mark]);
    Sample::killed(&script, &last[mark + 1..], Setup::ORDINARY.with(form))
}

/// Opens the damaged files, for reading and for writing in turns, and reads all of each.
fn damage_everywhere(
    name: &'static str,
    sample: &Sample,
    damages: impl Iterator<Item = (String, Vec<u8>)>,
) -> Outcomes {
    let tally = Tally::new(name);
    let outcomes = Outcomes::default();
    let in_turns = [Access::Read, Access::Write, Access::Write, Access::Read].into_iter().cycle();
    for ((what, bytes), access) in damages.zip(in_turns) {
        tally.moment();
        let examine = || examine(&disk_with(&bytes), sample, access).map(|outcome| outcomes.count(outcome));
        tally.image(|| format!("{what}, {access:?}"), examine);
    }
    println!("{name}: {outcomes}");
    tally.end();
    outcomes
}

fn all_of(sample: &Sample, damages: impl Iterator<Item = Damage>) -> impl Iterator<Item = (String, Vec<u8>)> {
    damages.map(|damage| (format!("{damage:?}"), damage.of(&sample.bytes)))
}

/// One bit of each 67 bytes, another one of each.
fn flipped_bits(sample: &Sample) -> impl Iterator<Item = Damage> {
    let bits = sample.bytes.len() * 8;
    (0..bits)
        .step_by(67 * 8)
        .map(move |at| Damage::Flipped((at + (mix_all(&[at as u64]) % (67 * 8)) as usize).min(bits - 1)))
}

#[test]
fn flipped_bits_of_a_closed_file_are_found() {
    for form in [Form::Records, Form::Words, Form::Odd] {
        let sample = closed(form);
        let outcomes = damage_everywhere(form.name(), &sample, all_of(&sample, flipped_bits(&sample)));
        for outcome in [Outcome::Refused, Outcome::FoundByReading, Outcome::Harmless] {
            assert!(outcomes.of(outcome) > 0, "{form:?}: {outcomes}");
        }
    }
}

/// Each sector is zeros, or holds what another one should.
#[test]
fn lost_and_misdirected_sectors_of_a_closed_file_are_found() {
    for form in [Form::Records, Form::Words] {
        let sample = closed(form);
        let sectors = sample.bytes.len() / SECTOR;
        let damages = (0..sectors).flat_map(|sector| {
            let other = (mix_all(&[sector as u64]) % sectors as u64) as usize;
            [Damage::Lost(sector), Damage::Misdirected(sector, other)]
        });
        damage_everywhere("lost and misdirected sectors", &sample, all_of(&sample, damages));
    }
}

/// Each page as it was one checkpoint before.
#[test]
fn pages_that_a_write_never_reached_are_found() {
    for form in [Form::Records, Form::Words] {
        let script = unlucky_life(form);
        let early = Sample::closed(&script[..script.len() * 2 / 3], Setup::ORDINARY.with(form));
        let sample = closed(form);
        let page = 4096;
        let damages = (2..early.bytes.len().min(sample.bytes.len()) / page).map(|number| {
            let there = number * page..(number + 1) * page;
            let mut stale = sample.bytes.clone();
            stale[there.clone()].copy_from_slice(&early.bytes[there]);
            (format!("page {number} is an old one"), stale)
        });
        damage_everywhere("stale pages", &sample, damages);
    }
}

/// In a store that was killed, what was synced is never taken for a torn tail (D4).
#[test]
fn damage_to_what_was_synced_is_no_torn_tail() {
    for form in [Form::Records, Form::Words] {
        let sample = killed(form);
        let outcomes = damage_everywhere("damaged logs", &sample, all_of(&sample, flipped_bits(&sample)));
        assert!(outcomes.of(Outcome::Refused) > 20, "{form:?}: {outcomes}");
    }
}

/// Files of random workloads.
#[test]
fn random_damage_is_found() {
    let tally = Arc::new(Tally::new("random damage"));
    (0..20).for_each(|seed| suite::damage(seed, Layouts::Both.form(seed), &tally).unwrap());
    tally.end();
}

/// Pages of the table that no checkpoint has written read as zeros, whatever the file holds there (D12).
#[test]
fn absent_pages_are_zeros_whatever_the_file_holds() {
    for form in [Form::Records, Form::Words] {
        absent_pages_are_zeros(form);
    }
}

fn absent_pages_are_zeros(form: Form) {
    let (disk, setup) = (SimDisk::new(17), Setup { capacity: 5000, form, ..Setup::ORDINARY });
    let put = |store: &Subject, n: u64| store.insert(&form.key(format!("k{n}")), form.payload(n, 5)).unwrap();
    let store = setup.open(&disk).unwrap();
    (0..6).for_each(|n| assert!(!put(&store, n)));
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
    let store = setup.open(&disk).unwrap();
    for n in 0..6 {
        assert_eq!(store.get(&form.key(format!("k{n}"))).unwrap(), Some(form.payload(n, 5).bytes()));
    }
    (6..1006).for_each(|n| assert!(!put(&store, n)));
    assert!(store.verify().unwrap().is_clean());
    store.close().unwrap();
    assert_eq!(setup.open(&disk).unwrap().len(), 1006);
}
