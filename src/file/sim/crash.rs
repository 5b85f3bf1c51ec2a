//! What a crash leaves.

use std::collections::BTreeMap;

use super::disk::{Settings, SimDisk};
use super::file::{Changed, File, Frozen};
use super::names::{FileId, Names};
use super::pages::{PAGE_WORDS, PageSet, Pages, SECTOR_WORDS, SECTORS, ZEROS, sector_words};
use super::random::Random;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The power is cut. What was synced is there; of everything else, any part.
    Power,
    /// The program is killed. The page cache survives, and is as unsynced as before: a later power cut of the
    /// new disk can still take it away.
    Kill,
}

/// A disk at one moment, from which any number of crash images can be made. It stays as it is while the disk
/// goes on.
#[derive(Debug)]
pub struct Moment {
    pub(super) files: BTreeMap<FileId, Frozen>,
    pub(super) names: Names,
    pub(super) settings: Settings,
    pub(super) next_id: u64,
}

impl Moment {
    /// How many sectors (512 bytes) a power cut can leave old, new or torn.
    pub fn unsynced_sectors(&self) -> u64 {
        let pages = self.files.values().flat_map(|file| &file.unsynced);
        pages.map(|changed| u64::from(changed.sectors.count_ones())).sum()
    }

    /// A new disk with what a crash leaves, without hooks, faults and locks. The same seed gives the same disk.
    ///
    /// Costs time and memory in proportion to the pages that were unsynced and those that change: the rest is
    /// shared.
    pub fn crash(&self, seed: u64, kind: Crash) -> SimDisk {
        let mut random = Random::new(seed);
        let (names, mut files): (_, BTreeMap<_, _>) = match kind {
            Crash::Kill => {
                let kept = |(id, file): (&FileId, &Frozen)| (*id, file.after_kill(&mut random));
                (self.names.clone(), self.files.iter().map(kept).collect())
            }
            Crash::Power => {
                let names = self.names.after_power_cut(&mut random);
                let mut cut = PowerCut::draw(self.unsynced_sectors(), &mut random);
                (names, self.files.iter().map(|(id, file)| (*id, cut.file(file))).collect())
            }
        };
        files.retain(|id, _| names.mention(*id));
        SimDisk::assemble(files, names, self.settings, self.next_id, random.next())
    }
}

/// Which unsynced sectors survive one power cut. Coins alone would hardly ever lose just one sector of many, or
/// keep just one, so most images are drawn from patterns.
#[derive(Debug, Clone, Copy)]
enum Plan {
    AllOld,
    AllNew,
    OnlyOneNew(u64),
    OnlyOneOld(u64),
    /// Sectors below a place in the order of files and offsets.
    NewBelow(u64),
    NewFrom(u64),
    /// Each on its own.
    Coins,
}

impl Plan {
    fn draw(sectors: u64, random: &mut Random) -> Self {
        let place = random.below(sectors);
        match random.below(12) {
            0 => Plan::AllOld,
            1 => Plan::AllNew,
            2 => Plan::OnlyOneNew(place),
            3 => Plan::OnlyOneOld(place),
            4 => Plan::NewBelow(place),
            5 => Plan::NewFrom(place),
            _ => Plan::Coins,
        }
    }

    fn fate(self, sector: u64, random: &mut Random) -> SectorFate {
        let (new, edge) = match self {
            Plan::AllOld => (false, false),
            Plan::AllNew => (true, false),
            Plan::OnlyOneNew(place) => (sector == place, sector == place),
            Plan::OnlyOneOld(place) => (sector != place, sector == place),
            Plan::NewBelow(place) => (sector < place, sector == place),
            Plan::NewFrom(place) => (sector >= place, sector == place),
            Plan::Coins => (random.coin(), random.one_in(3)),
        };
        match (edge && random.coin(), new) {
            (true, _) => SectorFate::Torn,
            (false, true) => SectorFate::New,
            (false, false) => SectorFate::Old,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SectorFate {
    Old,
    New,
    Torn,
}

/// What becomes of one pending change of length or space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeFate {
    Survives,
    Lost,
    /// A hole that a file system without holes wrote as zeros: sector by sector.
    Piecemeal,
}

struct PowerCut<'r> {
    plan: Plan,
    sectors_seen: u64,
    /// The fate of every pending change; each has its own where `None`.
    changes: Option<ChangeFate>,
    random: &'r mut Random,
}

impl<'r> PowerCut<'r> {
    fn draw(sectors: u64, random: &'r mut Random) -> Self {
        let plan = Plan::draw(sectors, random);
        let changes = match random.below(4) {
            0 => Some(ChangeFate::Survives),
            1 => Some(ChangeFate::Lost),
            _ => None,
        };
        PowerCut { plan, sectors_seen: 0, changes, random }
    }

    fn change_fate(&mut self) -> ChangeFate {
        let own = match self.random.below(5) {
            0 | 1 => ChangeFate::Survives,
            2 | 3 => ChangeFate::Lost,
            _ => ChangeFate::Piecemeal,
        };
        self.changes.unwrap_or(own)
    }

    fn file(&mut self, frozen: &Frozen) -> File {
        let mut after = frozen.durable.clone();
        // Pages of which a pending change, not the write-back, decides whether they are zeros.
        let mut decided = PageSet::default();
        for pending in &frozen.pending {
            let fate = self.change_fate();
            if fate != ChangeFate::Piecemeal {
                decided.union(&pending.zeroed);
            }
            if fate == ChangeFate::Survives {
                pending.zeroed.iter().for_each(|page| after.pages.set(page, None));
                after.allocated.subtract(&pending.zeroed);
                after.allocated.union(&pending.reserved);
                after.length = pending.length.unwrap_or(after.length);
            }
        }
        for changed in &frozen.unsynced {
            if self.page(changed, decided.contains(changed.page), &mut after.pages) {
                after.allocated.insert(changed.page);
            }
        }
        after.pages.cut(after.length);
        File::new(after)
    }

    /// Decides about each unsynced sector of a page; true if any of it reached the disk.
    fn page(&mut self, changed: &Changed, hole_decided: bool, pages: &mut Pages) -> bool {
        let mut reached = false;
        for sector in (0..SECTORS).filter(|sector| changed.sectors >> sector & 1 == 1) {
            let words = sector_words(sector);
            let new = &changed.content[words.clone()];
            let fate = self.plan.fate(self.sectors_seen, self.random);
            self.sectors_seen += 1;
            if fate == SectorFate::Old || (hole_decided && *new == ZEROS[..SECTOR_WORDS]) {
                continue;
            }
            reached = true;
            let old = &mut pages.page_mut(changed.page)[words];
            match fate {
                SectorFate::Torn => tear(old, new, self.random),
                _ => old.copy_from_slice(new),
            }
        }
        reached
    }
}

/// Leaves `old` new up to a word and old from there on, or the other way round, where that makes a difference.
fn tear(old: &mut [u64], new: &[u64], random: &mut Random) {
    let differs = |word: &usize| old[*word] != new[*word];
    let first = (0..old.len()).find(differs).unwrap_or(0);
    let last = (0..old.len()).rfind(differs).unwrap_or(0);
    let boundary = first + 1 + random.below((last - first) as u64) as usize;
    let torn = if random.coin() { 0..boundary } else { boundary..old.len() };
    old[torn.clone()].copy_from_slice(&new[torn]);
}

const _: () = assert!(SECTOR_WORDS * SECTORS == PAGE_WORDS);
