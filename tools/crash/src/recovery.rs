//! Crash inside a recovery, and in the first writes behind it, again and again.
//!
//! What a completed recovery has shown must never be lost again (D13), and nothing that it found lost may come back
//! (D1, D2). So the images of a trace are recovered under the same watch as the trace itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tophash::Error;
use tophash::sim::{Call, CallKind, Crash, Failure, Fault, Moment, SimDisk, When};

use crate::content::mix_all;
use crate::image::{Expected, abandon, further_ops, goes_on, judge};
use crate::life::Life;
use crate::program::{Program, Progress, Setup, Step, Watch};
use crate::tally::Tally;

/// How an image came about.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    seed: u64,
    kind: Crash,
    /// The power is cut after a kill.
    then_power: bool,
}

impl Fate {
    /// Different fates for the same moment.
    fn each(place: u64, cuts: u64, kills: u64) -> impl Iterator<Item = Fate> {
        let power = (0..cuts).map(move |n| (n, Crash::Power, false));
        let kills = (0..kills).flat_map(|n| [(n, Crash::Kill, false), (n, Crash::Kill, true)]);
        power.chain(kills).map(move |(n, kind, then_power)| {
            let seed = mix_all(&[place, n, kind as u64, u64::from(then_power)]);
            Fate { seed, kind, then_power }
        })
    }

    fn image(&self, moment: &Moment) -> SimDisk {
        let disk = moment.crash(self.seed, self.kind);
        if self.then_power { disk.crash(self.seed, Crash::Power) } else { disk }
    }

    /// How many operations are there at least.
    fn least(&self, now: Progress) -> usize {
        if self.kind == Crash::Kill && !self.then_power { now.acked } else { now.durable }
    }

    /// How far a program is that begins with this image: `at` operations are there. After a power cut, what is there
    /// is on the disk; after a kill, it may be in the page cache alone.
    fn progress(&self, now: Progress, at: usize) -> Progress {
        let in_cache = self.kind == Crash::Kill && !self.then_power;
        Progress::at(at, if in_cache { now.durable.min(at) } else { at })
    }
}

/// Recovers an image and writes to it, under a watch that crashes it everywhere; as deep as the plan says.
fn torment(
    moment: Arc<Moment>,
    fate: Fate,
    life: &Life,
    now: Progress,
    plan: Plan,
    tally: &Arc<Tally>,
    trail: String,
) {
    let trail = format!("{trail} / {fate:?}");
    let expected = Expected { life, least: fate.least(now), most: now.begun };
    let mut found = None;
    tally.image(
        || trail.clone(),
        || {
            let disk = fate.image(&moment);
            let (store, at) = judge(&disk, expected)?;
            abandon(&disk, store);
            found = Some(at);
            Ok(())
        },
    );
    let (Some(at), true) = (found, plan.depth > 0) else { return };

    let steps = first_steps(&life.fork(at), fate.seed % 1000, plan.value_bytes);
    let mut full = life.fork(at);
    steps.iter().for_each(|step| {
        if let Step::Do(op) = step {
            full.push(op.clone())
        }
    });
    let (full, tally) = (Arc::new(full), Arc::clone(tally));
    let begun = fate.progress(now, at);
    let (watched, judged, its_trail) = (Arc::clone(&full), Arc::clone(&tally), trail.clone());
    let watch: Watch = Arc::new(move |disk: &SimDisk, call: &Call, now: Progress| {
        let skip = call.kind == CallKind::Store && !mix_all(&[fate.seed, call.number]).is_multiple_of(3);
        if skip || !changes_the_disk(call.kind) {
            return;
        }
        judged.moment();
        let moment = Arc::new(disk.freeze());
        let place = mix_all(&[fate.seed, call.number]);
        let deeper = place.is_multiple_of(plan.deeper);
        // Before a sync, most is at stake.
        let (cuts, kills) = if call.kind == CallKind::Sync { (12, 1) } else { (2, place % 2) };
        for (n, fate) in Fate::each(place, cuts, kills).enumerate() {
            let depth = if deeper && n % 2 == 0 { plan.depth - 1 } else { 0 };
            let trail = format!("{its_trail} / {:?} {} {now:?}", call.kind, call.number);
            torment(Arc::clone(&moment), fate, &watched, now, Plan { depth, ..plan }, &judged, trail);
        }
    });
    tally.image(
        || trail.clone(),
        || {
            Program::new(fate.image(&moment), life.fork(at), begun).with_watch(watch).run_whole(&steps);
            Ok(())
        },
    );
}

/// Before any other call a crash leaves what one before the next of these leaves.
fn changes_the_disk(kind: CallKind) -> bool {
    use CallKind::{Allocated, IsAt, Length, Lock, Map, Open, Read};
    ![Allocated, IsAt, Length, Lock, Map, Open, Read].contains(&kind)
}

/// What a program does after a recovery: writes to what it found, with each way to make it durable.
fn first_steps(life: &Life, salt: u64, value_bytes: usize) -> Vec<Step> {
    let ops = further_ops(life, salt, value_bytes);
    let mut steps: Vec<Step> = ops.iter().cloned().map(Step::Do).collect();
    steps.insert(3, Step::Sync);
    if salt.is_multiple_of(3) {
        // A clean close right after an unclean end must not hide what lies behind the tail (D2).
        steps.insert(0, Step::Reopen);
    }
    let again = further_ops(life, salt + 1000, value_bytes);
    steps.extend(again[..2].iter().cloned().map(Step::Do));
    steps.push(Step::Checkpoint);
    steps.extend(again[2..4].iter().cloned().map(Step::Do));
    steps
}

/// How thoroughly recoveries are crashed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the disk does by chance.
    pub disk_seed: u64,
    /// One call in so many, and one store in three times as many.
    pub every: u64,
    /// Power cuts of each such moment.
    pub cuts: u64,
    /// How many crashes may follow each other.
    pub depth: u32,
    /// One moment in so many is where the next crash is looked at as closely.
    pub deeper: u64,
    /// How much is written after a recovery, at a time.
    pub value_bytes: usize,
}

/// Torments images of some moments of a script.
pub fn crash_recoveries(script: &[Step], setup: Setup, plan: Plan, tally: &Arc<Tally>) {
    let Plan { disk_seed, every, .. } = plan;
    let program = || {
        Program::new(SimDisk::new(disk_seed), Life::new(setup.form), Progress::default())
            .with_setup(setup)
            .with_shapes()
    };
    let lives = Arc::new(program().run_whole(script).0);
    let judged = Arc::clone(tally);
    let watch = move |disk: &SimDisk, call: &Call, now: Progress| {
        let place = mix_all(&[disk_seed, now.disk as u64, call.number]);
        let every = if call.kind == CallKind::Store { every * 3 } else { every };
        if !place.is_multiple_of(every) || !changes_the_disk(call.kind) {
            return;
        }
        judged.moment();
        let moment = Arc::new(disk.freeze());
        let cuts = if call.kind == CallKind::Sync { plan.cuts * 3 } else { plan.cuts };
        for fate in Fate::each(place, cuts, 1) {
            let trail = format!("disk {} {:?} {} {now:?}", now.disk, call.kind, call.number);
            torment(Arc::clone(&moment), fate, &lives[now.life], now, plan, &judged, trail);
        }
    };
    program().with_watch(Arc::new(watch)).run_whole(script);
}

/// A recovery that is refused a call: it fails with an error that says so, or does without; and the next one finds what
/// this one would have found.
fn fail_recovery(moment: &Moment, fate: Fate, life: &Life, now: Progress, one_in: u64) -> Result<(), String> {
    let expected = Expected { life, least: fate.least(now), most: now.begun };
    let (at, calls) = {
        let disk = fate.image(moment);
        let (store, at) = judge(&disk, expected)?;
        let calls = disk.counters().total();
        abandon(&disk, store);
        (at, calls)
    };
    let begun = fate.progress(now, at);
    for number in 0..calls {
        for failure in Failure::ALL {
            if !mix_all(&[number, failure as u64, fate.seed]).is_multiple_of(one_in) {
                continue;
            }
            let complain = |complaint| format!("{failure:?} at call {number}: {complaint}");
            let disk = fate.image(moment);
            disk.fail(Fault { when: When::Once(number), kind: None, failure });
            let lied_to = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&lied_to);
            disk.on_call(move |_, call| {
                noted.fetch_or(call.number == number && call.kind == CallKind::Sync, Ordering::Relaxed);
            });
            match Setup::ORDINARY.with(life.form()).open(&disk) {
                Ok(store) => abandon(&disk, store),
                Err(Error::Io { .. } | Error::NoSpace { .. }) => {}
                Err(error) => return Err(complain(format!("not the error to expect: {error:?}"))),
            }
            disk.off_call();
            disk.heal();
            // The page cache lies after a failed sync; what is durable stays.
            let least = if lied_to.load(Ordering::Relaxed) { begun.durable } else { at };
            let seed = mix_all(&[fate.seed, number, failure as u64]);
            for (kind, least) in [(Crash::Power, begun.durable), (Crash::Kill, least)] {
                let image = disk.crash(seed, kind);
                let (store, _) = judge(&image, Expected { least, most: at, ..expected }).map_err(complain)?;
                abandon(&image, store);
            }
            let (store, at) = judge(&disk, Expected { least, most: at, ..expected }).map_err(complain)?;
            match seed % 4 {
                0 => goes_on(&disk, store, life, at).map_err(complain)?,
                _ => abandon(&disk, store),
            }
        }
    }
    Ok(())
}

/// Has recoveries of some moments of a script fail, at each of their calls.
pub fn fail_recoveries(script: &[Step], setup: Setup, disk_seed: u64, every: u64, tally: &Arc<Tally>) {
    let chosen = move |call: &Call, now: Progress| {
        let place = mix_all(&[now.disk as u64, call.number]);
        place.is_multiple_of(if call.kind == CallKind::Store { every * 5 } else { every })
    };
    fail_recoveries_where(script, setup, disk_seed, chosen, 1, tally);
}

/// Has recoveries of the moments that are `chosen` fail at one in so many of their calls, in each way.
pub fn fail_recoveries_where(
    script: &[Step],
    setup: Setup,
    disk_seed: u64,
    chosen: impl Fn(&Call, Progress) -> bool + Send + Sync + 'static,
    one_in: u64,
    tally: &Arc<Tally>,
) {
    let program = || {
        let program = Program::new(SimDisk::new(disk_seed), Life::new(setup.form), Progress::default());
        program.with_setup(setup).with_shapes()
    };
    let lives = Arc::new(program().run_whole(script).0);
    let judged = Arc::clone(tally);
    let watch = move |disk: &SimDisk, call: &Call, now: Progress| {
        if !chosen(call, now) {
            return;
        }
        judged.moment();
        let (moment, place) = (disk.freeze(), mix_all(&[now.disk as u64, call.number]));
        for fate in Fate::each(place, 1, 1) {
            let label = || format!("disk {} {:?} {} {now:?} / {fate:?}", now.disk, call.kind, call.number);
            judged.image(label, || fail_recovery(&moment, fate, &lives[now.life], now, one_in));
        }
    };
    program().with_watch(Arc::new(watch)).run_whole(script);
}
