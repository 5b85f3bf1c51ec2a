//! Real processes: killed by SIGKILL in the middle of a growth, a checkpoint, a recovery; holding a lock; failing to
//! close.

mod common;

use std::path::{Path, PathBuf};

use common::cells::Cells;
use common::child::{Child, say, task, wait};
use common::{Change, Model, Place, Random, check_equal, key};
use tophash::{Error, Options, Store};

/// The sizes below are multiplied by this; a debug build does less.
const SCALE: u64 = if cfg!(debug_assertions) { 1 } else { 8 };

/// The child goes on by itself for this many changes, then waits for its parent.
const STRIDE: u64 = 64;

fn options() -> Options {
    Options::new().seed(5)
}

/// The changes of all children: four inserts of new keys, one replacement and one removal in turn.
fn change(n: u64) -> Change {
    let (round, step) = (n / 6, n % 6);
    let value = |of: u64| Random(of).bytes((of % 120) as usize);
    match step {
        0..4 => Change::Insert(key(round * 4 + step), value(n)),
        4 => Change::Insert(key(round * 2), value(n)),
        _ => Change::Remove(key(round * 4 - round % 4)),
    }
}

/// Not a test: what the children do.
#[test]
fn child() {
    let Some((task, path)) = task() else { return };
    match task.split_once(' ') {
        Some(("write", from)) => write(options(), &path, from.parse().unwrap()),
        Some(("write-and-checkpoint", from)) => {
            write(options().checkpoint_bytes(20_000), &path, from.parse().unwrap());
        }
        _ if task == "hold" => hold(Store::open(&path).unwrap()),
        _ => hold(Options::new().read_only(true).open(&path).unwrap()),
    }
}

/// Opens the store and makes changes from number `from` on until killed; says the number of each that was
/// acknowledged.
fn write(options: Options, path: &Path, from: u64) {
    say("opening");
    let store = options.open(path).unwrap();
    say_growth(&store, from);
    wait();
    for n in from.. {
        change(n).make(&store);
        say_growth(&store, n + 1);
        if (n + 1 - from).is_multiple_of(STRIDE) {
            wait();
        }
    }
}

fn say_growth(store: &Store, changes: u64) {
    let growth = store.growth().unwrap();
    say(format_args!("{changes} {} {}", growth.old_buckets, growth.nevacuate));
}

fn hold(_store: Store) {
    say("open");
    wait();
}

/// What a child says after a change.
#[derive(Clone, Copy, Debug)]
struct Progress {
    changes: u64,
    old_buckets: u64,
    nevacuate: u64,
}

impl Progress {
    fn parse(said: &str) -> Option<Self> {
        let mut numbers = said.split(' ').map_while(|number| number.parse().ok());
        Some(Progress { changes: numbers.next()?, old_buckets: numbers.next()?, nevacuate: numbers.next()? })
    }
}

/// A file whose writers are killed, and a store that runs the same changes undisturbed.
struct Crashing {
    place: Place,
    undisturbed: Store,
    model: Model,
    /// Changes made in the undisturbed store.
    made: u64,
}

impl Crashing {
    fn new() -> Self {
        let place = Place::new();
        let undisturbed = options().background(false).open(place.file("undisturbed.tophash")).unwrap();
        Crashing { place, undisturbed, model: Model::new(), made: 0 }
    }

    fn path(&self) -> PathBuf {
        self.place.file("crashing.tophash")
    }

    fn writer(&self, task: &str) -> Child {
        let mut child = Child::start(&format!("{task} {}", self.made), &self.path());
        assert_eq!(child.hear().as_deref(), Some("opening"));
        child
    }

    fn make_up_to(&mut self, changes: u64) {
        for n in self.made..changes {
            change(n).make_in_both(&self.undisturbed, &mut self.model);
        }
        self.made = changes;
    }

    /// The file of a killed writer that had acknowledged this many changes: it has these, and the one that was under
    /// way or not. Looked at read-only, which leaves the file as it is.
    fn check(&mut self, acknowledged: u64) {
        self.make_up_to(acknowledged);
        let before = std::fs::read(self.path()).unwrap();
        let store = Options::new().read_only(true).open(self.path()).unwrap();
        let cells = Cells::of(&store);
        if cells != Cells::of(&self.undisturbed) {
            self.make_up_to(acknowledged + 1);
        }
        cells.assert_same_as(&Cells::of(&self.undisturbed));
        check_equal(&store, &self.model, (self.made..self.made + 10).map(key));
        drop(store);
        assert!(std::fs::read(self.path()).unwrap() == before, "a read-only open changed the file");
    }

    /// How far the growth is in the file.
    fn growth(&self) -> (u64, u64) {
        let store = Options::new().read_only(true).open(self.path()).unwrap();
        let growth = store.growth().unwrap();
        (growth.old_buckets, growth.nevacuate)
    }
}

/// Lets a child write until what it says fits, and kills it. The last change it acknowledged.
fn write_until(mut child: Child, fits: impl Fn(&Progress) -> bool) -> u64 {
    let start = Progress::parse(&child.hear().unwrap()).unwrap().changes;
    child.go_on();
    loop {
        let said = child.hear().expect("it writes until it is killed");
        let progress = Progress::parse(&said).unwrap();
        if fits(&progress) {
            let later = child.kill();
            return later.last().map_or(progress, |said| Progress::parse(said).unwrap()).changes;
        }
        if (progress.changes - start).is_multiple_of(STRIDE) {
            child.go_on();
        }
    }
}

#[test]
fn a_growth_goes_on_where_a_kill_cut_it_short() {
    let mut crashing = Crashing::new();
    // The number of old buckets, and how many of a hundred of them are to be evacuated when the writer is killed.
    let moments =
        [(512, 0), (512, 50), (1024, 20), (1024, 75), (2048, 5), (2048, 60), (2048, 90), (4096, 50)];
    for (nth, (old_buckets, percent)) in moments.into_iter().enumerate() {
        let old_buckets = old_buckets * SCALE;
        let task = if nth % 2 == 0 { "write" } else { "write-and-checkpoint" };
        let acknowledged = write_until(crashing.writer(task), |progress| {
            progress.old_buckets == old_buckets && progress.nevacuate * 100 >= old_buckets * percent
        });
        crashing.check(acknowledged);
        let (old, nevacuate) = crashing.growth();
        assert!(
            old == old_buckets && nevacuate < old,
            "{nevacuate} of {old}, not in the growth of {old_buckets}"
        );

        // The next writer finds the growth where it was.
        let mut writer = crashing.writer("write");
        let found = Progress::parse(&writer.hear().unwrap()).unwrap();
        assert_eq!((found.old_buckets, found.nevacuate), (old, nevacuate));
    }

    let store = Store::open(crashing.path()).unwrap();
    assert!(store.growth().unwrap().kind.is_some());
    while store.growth().unwrap().kind.is_some() {
        change(crashing.made).make_in_both(&store, &mut crashing.model);
        crashing.made += 1;
    }
    check_equal(&store, &crashing.model, (crashing.made..crashing.made + 100).map(key));
    assert!(crashing.model.len() as u64 > 26_000 * SCALE);
}

#[test]
fn a_recovery_that_is_killed_again_and_again_loses_nothing() {
    let mut crashing = Crashing::new();
    let acknowledged = write_until(crashing.writer("write"), |progress| {
        progress.old_buckets == 256 && progress.nevacuate > 100
    });
    crashing.check(acknowledged);
    let mut random = Random(6);
    for nth in 0..15 {
        let mut writer = crashing.writer("write-and-checkpoint");
        let acknowledged = match nth % 3 {
            // Somewhere in the recovery.
            0 => {
                (0..random.below(200_000)).for_each(|_| std::hint::spin_loop());
                let said = writer.kill();
                said.last().map_or(crashing.made, |said| Progress::parse(said).unwrap().changes)
            }
            // Right after it.
            1 => {
                writer.hear().unwrap();
                writer.kill();
                crashing.made
            }
            // Right after the first write.
            _ => write_until(writer, |_| true),
        };
        crashing.check(acknowledged);
    }
}

#[test]
fn a_writer_that_is_killed_in_its_checkpoints_loses_nothing() {
    let mut crashing = Crashing::new();
    let mut random = Random(7);
    for _ in 0..12 {
        // A checkpoint about every 300 changes; the moment is random among them.
        let stop = crashing.made + 200 + random.below(600);
        let acknowledged =
            write_until(crashing.writer("write-and-checkpoint"), |progress| progress.changes >= stop);
        crashing.check(acknowledged);
    }
}

#[test]
fn a_locked_store_names_the_process_that_holds_it() {
    let place = Place::new();
    let path = place.file("a.tophash");
    Store::open(&path).unwrap().insert("key", "value").unwrap();

    let mut writer = Child::start("hold", &path);
    assert_eq!(writer.hear().as_deref(), Some("open"));
    for read_only in [false, true] {
        let Err(Error::Locked { holder, .. }) = Options::new().read_only(read_only).open(&path) else {
            panic!("another process writes")
        };
        assert_eq!(holder, Some(writer.id()));
    }
    writer.kill();

    let mut reader = Child::start("hold-read-only", &path);
    assert_eq!(reader.hear().as_deref(), Some("open"));
    let Err(Error::Locked { holder, .. }) = Store::open(&path) else { panic!("another process reads") };
    assert_eq!(holder, Some(reader.id()));
    let other = Options::new().read_only(true).open(&path).unwrap();
    assert_eq!(other.get("key").unwrap().unwrap(), "value");
    reader.go_on();
    reader.expect_success();
}
