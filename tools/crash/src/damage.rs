//! Damaged files: what is read of one is what was written, or an error that names the place (D4, D12).
//!
//! Of a file that was closed everything is known. One whose program was killed ends with records that no sync mark
//! protects: there, damage may look like a torn tail, and what is found is a prefix with everything synced.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tophash::Error;
use tophash::report::Extent;
use tophash::sim::{Crash, SimDisk};

use crate::campaign::grouped;
use crate::content::{Digest, Key, Payload};
use crate::life::{Life, shape};
use crate::program::{PATH, Program, Progress, Setup, Step};
use crate::subject::{Form, Subject};

/// What a disk writes whole, and where it should or not.
pub const SECTOR: usize = 512;
/// More entries and errors than any sample's iteration has.
const ENDLESS: usize = 10_000;
/// So many keys are written again after a damaged store was opened for writing.
const WRITTEN_AGAIN: usize = 6;

/// A file, and what may be read of it.
pub struct Sample {
    /// All of the file.
    pub bytes: Vec<u8>,
    setup: Setup,
    life: Life,
    /// So many operations of its life damage must not hide.
    least: usize,
    closed: bool,
    keys: HashMap<Key, Vec<Option<Payload>>>,
}

impl Sample {
    /// The file of a program that ran this script, and closed its store.
    pub fn closed(script: &[Step], setup: Setup) -> Self {
        let mut program = Self::program(script, setup);
        let disk = program.disk.clone();
        let (life, all) = (program.life().clone(), program.life().len());
        program.close();
        Sample { closed: true, ..Self::new(&disk, setup, life, all) }
    }

    /// The file of a program that was killed after this script and these last steps. What the script made durable
    /// is protected by a mark, or the mark is what is damaged.
    pub fn killed(script: &[Step], last: &[Step], setup: Setup) -> Self {
        let mut program = Self::program(script, setup);
        let durable = program.progress().durable;
        program.run(last);
        Self::new(&program.disk.crash(1, Crash::Kill), setup, program.life().clone(), durable)
    }

    fn program(script: &[Step], setup: Setup) -> Program {
        let mut program =
            Program::new(SimDisk::new(14), Life::new(setup.form), Progress::default()).with_setup(setup);
        program.open();
        program.run(script);
        program
    }

    fn new(disk: &SimDisk, setup: Setup, life: Life, least: usize) -> Self {
        let bytes = disk.contents(PATH).expect("the program made its store");
        let keys = life.values_since(least);
        Sample { bytes, setup, life, least, closed: false, keys }
    }

    /// Where the file holds something that means something, piece by piece.
    pub fn pieces(&self) -> tophash::Result<Vec<Range<usize>>> {
        let extents = self.extents()?;
        let used = |extent: &Extent| extent.offset as usize..(extent.offset + extent.used_bytes) as usize;
        Ok(extents.iter().map(used).filter(|used| !used.is_empty()).collect())
    }

    /// Only who opens it for writing is told where the checksums of pages are.
    fn extents(&self) -> tophash::Result<Vec<Extent>> {
        Ok(self.open(&self.disk(), Access::Write)?.info()?.extents)
    }

    /// Damage to what only one checksum covers: the catalog word by word, checksums of pages, pages of which there is
    /// no checksum because no checkpoint has written them (D12).
    pub fn under_one_checksum(&self) -> tophash::Result<Vec<Damage>> {
        let extents = self.extents()?;
        let of = |what: &'static str| extents.iter().filter(move |extent| extent.what.contains(what));
        let words =
            of("catalog").flat_map(|catalog| catalog.offset / 8..(catalog.offset + catalog.bytes) / 8);
        let used = |word: &usize| self.bytes[word * 8..word * 8 + 8].iter().any(|&byte| byte != 0);
        let words = words.map(|word| word as usize).filter(used).map(Damage::LostWord);
        let sums = of("page checksums").map(|sums| Damage::Lost(sums.offset as usize / SECTOR));
        let arrays = of("bucket").flat_map(|array| sectors(array.offset, array.bytes));
        let (absent, written): (Vec<_>, Vec<_>) = arrays.partition(|&sector| self.page_is_zero(sector));
        let stale = absent.into_iter().step_by(8).zip(written.into_iter().cycle());
        Ok(words.chain(sums).chain(stale.map(|(there, other)| Damage::Misdirected(there, other))).collect())
    }

    fn page_is_zero(&self, sector: usize) -> bool {
        let page = sector * SECTOR / 4096 * 4096;
        self.bytes[page..page + 4096].iter().all(|&byte| byte == 0)
    }

    /// The sectors that the file has twice, on different sectors: no damage to one of them may lose anything.
    pub fn twofold(&self) -> tophash::Result<Vec<usize>> {
        const HEADER_SLOTS: [u64; 2] = [0, 4096];
        const SEGMENT_HEAD: [u64; 4] = [0, 512, 1024, 1536];
        let extents = self.extents()?;
        let segments = extents.iter().filter(|extent| extent.what.contains("log segment"));
        let heads = segments.flat_map(|segment| SEGMENT_HEAD.map(|at| segment.offset + at));
        // The header of a killed file names its journal in one slot alone.
        let slots = HEADER_SLOTS.into_iter().filter(|_| self.closed);
        Ok(slots.chain(heads).map(|offset| offset as usize / SECTOR).collect())
    }

    /// A disk with the file.
    pub fn disk(&self) -> SimDisk {
        disk_with(&self.bytes)
    }

    /// Opens the file as it is on this disk.
    pub fn open(&self, disk: &SimDisk, access: Access) -> tophash::Result<Subject> {
        let options = self.setup.options(disk).read_only(access == Access::Read);
        Subject::open_existing(options, Path::new(PATH), self.form())
    }

    fn form(&self) -> Form {
        self.setup.form
    }
}

/// A disk with a file of these bytes.
pub fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(15);
    disk.put(PATH, bytes);
    disk
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// The bit of this number is another.
    Flipped(usize),
    /// This sector holds zeros.
    Lost(usize),
    /// The word of 8 bytes with this number holds zeros.
    LostWord(usize),
    /// The first sector holds what the second one should.
    Misdirected(usize, usize),
    /// The file ends here.
    CutOff(usize),
}

impl Damage {
    /// What it makes of a file.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        match self {
            Damage::Flipped(bit) => damaged[bit / 8] ^= 1 << (bit % 8),
            Damage::Lost(sector) => damaged[sector_bytes(sector)].fill(0),
            Damage::LostWord(word) => damaged[word * 8..(word + 1) * 8].fill(0),
            Damage::Misdirected(there, other) => damaged.copy_within(sector_bytes(other), there * SECTOR),
            Damage::CutOff(length) => damaged.truncate(length),
        }
        damaged
    }
}

fn sectors(offset: u64, bytes: u64) -> Range<usize> {
    offset as usize / SECTOR..(offset + bytes) as usize / SECTOR
}

/// The bytes of a sector.
fn sector_bytes(sector: usize) -> Range<usize> {
    sector * SECTOR..(sector + 1) * SECTOR
}

/// What a damaged file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    /// It is written to, closed, and read again.
    Write,
}

/// What becomes of damage that is not wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The file was not opened.
    Refused,
    /// Reading something was an error; `verify` says so too.
    FoundByReading,
    /// What nobody reads is damaged, like a record that was replaced; `verify` finds that.
    FoundByVerifying,
    /// Nothing that means anything was damaged.
    Harmless,
}

/// How often each came of it.
#[derive(Default)]
pub struct Outcomes([AtomicU64; 4]);

impl Outcomes {
    /// Counts one.
    pub fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often this one came of it.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |outcome| grouped(self.of(outcome));
        let (refused, harmless) = (of(Outcome::Refused), of(Outcome::Harmless));
        let (reading, verifying) = (of(Outcome::FoundByReading), of(Outcome::FoundByVerifying));
        write!(
            f,
            "{refused} refused, {reading} found by reading, {verifying} by verify alone, {harmless} harmless"
        )
    }
}

/// Opens the damaged file and reads all of it.
pub fn examine(disk: &SimDisk, sample: &Sample, access: Access) -> Result<Outcome, String> {
    let store = match sample.open(disk, access) {
        Ok(store) => store,
        Err(Error::Corrupt { .. } | Error::NotTophash { .. } | Error::Version { .. }) => {
            return Ok(Outcome::Refused);
        }
        Err(error) => return Err(format!("opening: {error:?}")),
    };
    let errors = read_all(&store, sample)?;
    let outcome = verify(&store, errors)?;
    if access == Access::Write {
        write_again(&store, sample)?;
        or_corrupt(store.close()).map_err(|error| format!("closing: {error}"))?;
        let reopened = sample.open(disk, Access::Read).map_err(|error| format!("reopening: {error}"))?;
        let left = read_all(&reopened, sample).map_err(|wrong| format!("after writing: {wrong}"))?;
        verify(&reopened, left).map_err(|wrong| format!("after writing: {wrong}"))?;
        if left > errors {
            return Err(format!("{left} keys can't be read after writing, {errors} before"));
        }
    }
    Ok(outcome)
}

/// What `verify` has to say, where so many reads were errors.
fn verify(store: &Subject, errors: usize) -> Result<Outcome, String> {
    let verification = store.verify().map_err(|error| format!("verifying: {error}"))?;
    match (errors, verification.is_clean()) {
        (0, true) => Ok(Outcome::Harmless),
        (0, false) => Ok(Outcome::FoundByVerifying),
        (_, false) => Ok(Outcome::FoundByReading),
        (_, true) => Err(format!("{errors} errors when read, but it verifies")),
    }
}

/// Reads each key, and some that are not there, and iterates; returns how many of the keys gave an error, or 1 if
/// none of them did and something else.
fn read_all(store: &Subject, sample: &Sample) -> Result<usize, String> {
    let mut errors = 0;
    let mut got = Digest::default();
    for (key, allowed) in &sample.keys {
        let Some(found) = or_corrupt(store.get(key)).map_err(|error| format!("{key:?}: {error}"))? else {
            errors += 1;
            continue;
        };
        let found = found.map(|value| Payload::recognise(&value).ok_or(value.len())).transpose();
        let found = found.map_err(|len| format!("{key:?}: {len} bytes that nobody stored"))?;
        if !allowed.contains(&found) {
            return Err(format!("{key:?} is {found:?} instead of one of {allowed:?}"));
        }
        found.iter().for_each(|payload| got.add(key, payload));
    }
    let mut other_errors = 0;
    for n in 0..8 {
        match or_corrupt(store.get(&sample.form().key(format!("absent {n}"))))
            .map_err(|error| format!("absent key: {error}"))?
        {
            Some(Some(value)) => return Err(format!("an absent key has {} bytes", value.len())),
            Some(None) => {}
            None => other_errors += 1,
        }
    }
    let (iterated, in_iteration) = iterate(store, sample)?;
    other_errors += in_iteration;
    other_errors += usize::from(or_corrupt(store.stats()).map_err(|error| error.to_string())?.is_none());
    other_errors += usize::from(or_corrupt(shape(store)).map_err(|error| error.to_string())?.is_none());
    if in_iteration == 0 && (iterated.entries != store.len() || errors == 0 && iterated != got) {
        return Err(format!("len {}, read {got:?}, iterated {iterated:?}", store.len()));
    }
    if in_iteration == 0 && sample.life.find(iterated, sample.least, sample.life.len()).is_none() {
        return Err(format!("{} entries, which no prefix leaves", iterated.entries));
    }
    Ok(if errors > 0 { errors } else { other_errors.min(1) })
}

/// All entries that an iteration yields, and how many errors.
fn iterate(store: &Subject, sample: &Sample) -> Result<(Digest, usize), String> {
    let (mut digest, mut errors) = (Digest::default(), 0);
    let mut seen = HashSet::new();
    for (steps, entry) in store.entries().enumerate() {
        if steps > ENDLESS {
            return Err("an iteration that does not end".into());
        }
        let Some((key, value)) = or_corrupt(entry).map_err(|error| format!("iterating: {error}"))? else {
            errors += 1;
            continue;
        };
        let allowed = sample.keys.get(&key).ok_or_else(|| format!("{key:?}, which nobody stored"))?;
        let payload = Payload::recognise(&value).filter(|payload| allowed.contains(&Some(*payload)));
        let payload = payload.ok_or_else(|| format!("iterating: {key:?} with another value"))?;
        digest.add(&key, &payload);
        if let Some(key) = seen.replace(key) {
            return Err(format!("iterating: {key:?} twice"));
        }
    }
    Ok((digest, errors))
}

/// Writes some entries as they are, and removes a key that is not there.
fn write_again(store: &Subject, sample: &Sample) -> Result<(), String> {
    let mut keys: Vec<&Key> = sample.keys.keys().collect();
    keys.sort();
    for key in keys.iter().take(WRITTEN_AGAIN) {
        if let Some(payload) = store.get(key).ok().flatten().and_then(|value| Payload::recognise(&value)) {
            or_corrupt(store.insert(key, payload)).map_err(|error| format!("writing {key:?}: {error}"))?;
        }
    }
    // What would be replaced is returned, so that it must be readable (C12).
    for key in keys.into_iter().filter(|key| store.get(key).is_err()).take(WRITTEN_AGAIN) {
        if or_corrupt(store.insert(key, sample.form().payload(1 << 30, 3)))
            .map_err(|error| format!("replacing {key:?}: {error}"))?
            .is_some()
        {
            return Err(format!("{key:?} can't be read, but replaced"));
        }
    }
    or_corrupt(store.remove(&sample.form().key("absent"))).map_err(|error| format!("removing: {error}"))?;
    Ok(())
}

/// `None` for damage that was found; any other error is wrong here.
fn or_corrupt<T>(result: tophash::Result<T>) -> Result<Option<T>, Error> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(Error::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
