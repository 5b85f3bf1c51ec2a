//! Cycles that damage files.

use std::ops::Range;
use std::sync::Arc;

use crate::damage::{Access, Damage, Outcome, SECTOR, Sample, disk_with, examine};
use crate::life::Op;
use crate::program::{Setup, Step};
use crate::script::ORDINARY;
use crate::subject::Form;
use crate::tally::Tally;
use crate::workload::{Dice, Ends, Workload};

/// So many times the file of one workload is damaged.
const DAMAGES: u64 = 80;

/// The file of a random workload, damaged in random places.
pub fn damage(seed: u64, form: Form, tally: &Arc<Tally>) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let steps = dice.between(2, 9);
    let Workload { setup, mut script } = match dice.one_in(3) {
        // A table with pages that no checkpoint has written.
        true => Workload::with_setup(Setup::TIGHT.with(form), Dice::new(seed), steps, Ends::Clean),
        false => Workload::random(seed, form, steps, Ends::Clean),
    };
    // Of a killed store, flips alone: a sector may be all that was synced last, and the mark behind it.
    let flips_only = dice.one_in(3);
    let sample = if flips_only {
        script.push(Step::Sync);
        let more = |n: u8| {
            let payload = form.payload(1 << 20 | u64::from(n), ORDINARY);
            Step::Do(Op::Insert(form.key([b'+', n]), payload))
        };
        // Where no room was left for the last mark, this one protects what was synced.
        Sample::killed(&script, &[more(1), Step::Sync, more(2)], setup)
    } else {
        Sample::closed(&script, setup)
    };
    let pieces = sample.pieces().map_err(|error| format!("opening what is not damaged: {error}"))?;
    tally.moment();
    for &sector in &sample.twofold().map_err(|error| error.to_string())? {
        let lost = Damage::Lost(sector);
        let disk = disk_with(&lost.of(&sample.bytes));
        tally.image(
            || format!("{lost:?}, of which there are two"),
            || match examine(&disk, &sample, Access::Read)? {
                Outcome::Harmless | Outcome::FoundByVerifying => Ok(()),
                outcome => Err(format!("{outcome:?}")),
            },
        );
    }
    if !flips_only {
        for damage in sample.under_one_checksum().map_err(|error| error.to_string())? {
            let disk = disk_with(&damage.of(&sample.bytes));
            tally.image(|| format!("{damage:?}"), || examine(&disk, &sample, Access::Read).map(drop));
        }
    }
    for n in 0..DAMAGES {
        let damage = random_damage(&sample.bytes, &pieces, flips_only, &mut dice);
        let access = if n % 4 == 0 { Access::Write } else { Access::Read };
        let disk = disk_with(&damage.of(&sample.bytes));
        tally.image(|| format!("{damage:?}, {access:?}"), || examine(&disk, &sample, access).map(|_| ()));
    }
    Ok(())
}

/// Damage to one of the pieces that mean something, or to any place: checksums of pages are in no piece.
fn random_damage(bytes: &[u8], pieces: &[Range<usize>], flips_only: bool, dice: &mut Dice) -> Damage {
    let sectors = (bytes.len() / SECTOR) as u64;
    let anywhere = 0..bytes.len();
    let piece = if dice.one_in(4) { &anywhere } else { &pieces[dice.below(pieces.len() as u64) as usize] };
    let at = piece.start + dice.below(piece.len() as u64) as usize;
    let sector = at / SECTOR;
    match dice.below(if flips_only { 3 } else { 7 }) {
        6 => Damage::LostWord(at / 8),
        0..=2 => Damage::Flipped(at * 8 + dice.below(8) as usize),
        3 => Damage::Lost(sector),
        4 if dice.one_in(2) => Damage::Misdirected(sector, dice.below(sectors) as usize),
        // Within a segment, records of the right size come to lie where others were.
        4 => Damage::Misdirected(sector, (sector + dice.between(1, 12) as usize) % sectors as usize),
        _ => Damage::CutOff(at),
    }
}
