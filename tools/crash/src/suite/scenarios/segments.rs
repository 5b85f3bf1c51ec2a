//! Logs of several segments, of which a crash has left some of the old and some of the new.

use std::ops::Range;

use tophash::Error;
use tophash::sim::{Crash, SimDisk};

use super::{FIRST_RECORD, Verdict, holds, insert, log_segment, open};
use crate::damage::disk_with;
use crate::program::{PATH, Setup};
use crate::script::ROLLING;
use crate::workload::Dice;

const SEGMENT: usize = 64 << 10;
/// Records of [`ROLLING`] bytes in a segment.
const IN_A_SEGMENT: u64 = 3;
/// Where the two links to the next segment stand in a head.
const LINKS: [Range<usize>; 2] = [512..552, 1024..1064];

/// Two sessions of which the second takes the place of what the first has lost.
struct Lost {
    /// The file as the first session left it: three segments, of which a power cut takes the last two.
    first: Vec<u8>,
    /// As the second one left it.
    second: Vec<u8>,
    /// Where both have their second segment.
    segment: usize,
}

impl Lost {
    /// The second session writes so many records.
    fn after(records: u64, dice: &mut Dice) -> Result<Lost, String> {
        let disk = SimDisk::new(dice.below(u64::MAX));
        let store = open(&disk, Setup::ORDINARY)?;
        let begin = log_segment(&store)? as usize;
        let told = |error: Error| error.to_string();
        (0..2 * IN_A_SEGMENT + 1).try_for_each(|n| insert(&store, n, ROLLING)).map_err(told)?;
        let first = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;

        let mut left = first.clone();
        LINKS.iter().for_each(|link| left[begin + link.start..begin + link.end].fill(0));
        let disk = disk_with(&left);
        let store = open(&disk, Setup::ORDINARY)?;
        if store.len() != IN_A_SEGMENT {
            return Err(format!("{} entries in one segment", store.len()));
        }
        (100..100 + records).try_for_each(|n| insert(&store, n, ROLLING)).map_err(told)?;
        let second = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
        let next = &second[begin + LINKS[0].start + 8..begin + LINKS[0].start + 16];
        let segment = next.try_into().map(u64::from_le_bytes).map_err(|_| "no link")? as usize;
        let is_segment = segment > 0 && segment + SEGMENT <= first.len().min(second.len());
        if !is_segment || first[segment..segment + 8] != second[segment..segment + 8] {
            return Err("the second session does not take the place of the first one's segment".into());
        }
        Ok(Lost { first, second, segment })
    }

    /// What the second session leaves where this part of its segment was lost.
    fn without(mut self, parts: &[Range<usize>], expected: u64) -> Verdict {
        for part in parts {
            let part = self.segment + part.start..self.segment + part.end;
            self.second[part.clone()].copy_from_slice(&self.first[part]);
        }
        let store = open(&disk_with(&self.second), Setup::ORDINARY)?;
        holds(&store, IN_A_SEGMENT)?;
        match store.len() {
            len if len == expected => Ok(()),
            len => Err(format!("{len} entries instead of {expected}")),
        }
    }
}

/// The link to a segment is there, its new head and records are not: what an earlier session had there is no log.
pub fn linked_segment_that_was_lost(dice: &mut Dice) -> Verdict {
    Lost::after(dice.between(1, IN_A_SEGMENT), dice)?
        .without(std::slice::from_ref(&(0..SEGMENT)), IN_A_SEGMENT)
}

/// A segment is new but for its links, and ends where the one did that had its place.
pub fn links_of_an_earlier_session(dice: &mut Dice) -> Verdict {
    Lost::after(IN_A_SEGMENT, dice)?.without(&LINKS, 2 * IN_A_SEGMENT)
}

/// A power cut tears both copies of a link, which lack their first word then. The next session puts its segment where the
/// lost one was, and another power cut keeps nothing of that but the first word of each link, which is the same.
pub fn torn_link_that_the_next_one_completes(dice: &mut Dice) -> Verdict {
    const WORD: usize = 8;
    const HEADER_SLOTS: usize = 8192;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let begin = log_segment(&store)? as usize;
    let words = LINKS.map(|link| begin + link.start..begin + link.start + WORD);
    let told = |error: Error| error.to_string();
    (0..IN_A_SEGMENT + dice.between(1, IN_A_SEGMENT))
        .try_for_each(|n| insert(&store, n, ROLLING))
        .map_err(told)?;
    let mut left = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    words.iter().for_each(|word| left[word.clone()].fill(0));

    let disk = disk_with(&left);
    let store = open(&disk, Setup::ORDINARY)?;
    let mut torn = disk.contents(PATH).ok_or("no file")?;
    insert(&store, 100, ROLLING).map_err(told)?;
    let second = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    for kept in words.into_iter().chain(std::iter::once(0..HEADER_SLOTS)) {
        torn[kept.clone()].copy_from_slice(&second[kept]);
    }
    match open(&disk_with(&torn), Setup::ORDINARY)?.len() {
        IN_A_SEGMENT => Ok(()),
        len => Err(format!("{len} entries instead of {IN_A_SEGMENT}")),
    }
}

/// A synced record is damaged, and the mark that says so stands in the next segment.
pub fn mark_in_the_next_segment(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let first = log_segment(&store)? as usize + FIRST_RECORD;
    let told = |error: Error| error.to_string();
    (0..IN_A_SEGMENT + 1).try_for_each(|n| insert(&store, n, ROLLING)).map_err(told)?;
    store.sync().map_err(told)?;
    let mut file = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    file[first + dice.below(IN_A_SEGMENT * ROLLING as u64) as usize] ^= 1 << dice.below(8);
    match open(&disk_with(&file), Setup::ORDINARY) {
        Err(refused) if refused.contains("corrupt") => Ok(()),
        other => Err(format!("a synced record is damaged: {:?}", other.map(|store| store.len()))),
    }
}
