//! Crashes a program at each of its calls, and between its stores into mapped memory.

use std::path::Path;
use std::sync::Arc;

use tophash::sim::{Call, CallKind, Crash, Moment, SimDisk};

use crate::content::mix_all;
use crate::image::{Expected, abandon, goes_on, judge, judge_read_only};
use crate::life::Life;
use crate::program::{PATH, Program, Progress, Setup, Sights, Step, Watch};
use crate::tally::Tally;

/// A program, and how thoroughly it is crashed.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What the program does.
    pub script: Vec<Step>,
    /// How it opens its store.
    pub setup: Setup,
    /// What its disk does by chance.
    pub disk_seed: u64,
    /// Images of a moment that is looked at closely.
    pub close: Look,
    /// Images of the others.
    pub passing: Look,
    /// One store into mapped memory in so many is looked at closely; all other calls are.
    pub close_stores_one_in: u64,
    /// Only the moments whose number has this remainder, divided by the second.
    pub part: (u64, u64),
}

/// How many images of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Power cuts.
    pub cuts: u64,
    /// Kills, and as many kills that a power cut follows.
    pub kills: u64,
}

impl Attack {
    fn program(&self) -> Program {
        Program::new(SimDisk::new(self.disk_seed), Life::new(self.setup.form), Progress::default())
            .with_setup(self.setup)
            .with_shapes()
    }

    /// Runs the script undisturbed.
    pub fn undisturbed(&self) -> (Vec<Life>, Sights) {
        self.program().run_whole(&self.script)
    }

    /// Crashes the program and judges what is left.
    pub fn run(&self, tally: &Arc<Tally>) {
        let lives = Arc::new(self.undisturbed().0);
        let (watched, judged, attack) = (Arc::clone(&lives), Arc::clone(tally), self.clone());
        let watch: Watch = Arc::new(move |disk: &SimDisk, call: &Call, now: Progress| {
            attack.look(disk, call, now, &watched[now.life], &judged);
        });
        let (again, _) = self.program().with_watch(watch).run_whole(&self.script);
        assert_eq!(again.len(), lives.len(), "the same calls give the same disk");
    }

    fn look(&self, disk: &SimDisk, call: &Call, now: Progress, life: &Life, tally: &Tally) {
        let (remainder, parts) = self.part;
        if call.number % parts != remainder {
            return;
        }
        tally.moment();
        let is_close =
            call.kind != CallKind::Store || (call.number / parts).is_multiple_of(self.close_stores_one_in);
        let Look { cuts, kills } = if is_close { self.close } else { self.passing };
        let moment = disk.freeze();
        let place = mix_all(&[now.disk as u64, call.number]);
        let image = |seed: u64, kind, after: Option<Crash>| {
            let least = if (kind, after) == (Crash::Kill, None) { now.acked } else { now.durable };
            let expected = Expected { life, least, most: now.begun };
            let label = || format!("disk {}, {call:?}, {now:?}, {kind:?} {after:?} seed {seed:#x}", now.disk);
            tally.image(label, || judge_image(&moment, (seed, kind, after), expected));
        };
        for n in 0..cuts {
            image(mix_all(&[place, n]), Crash::Power, None);
        }
        for n in 0..kills {
            image(mix_all(&[place, n, 1]), Crash::Kill, None);
            image(mix_all(&[place, n, 2]), Crash::Kill, Some(Crash::Power));
        }
    }
}

/// Judges an image; some are read by a read-only open too, some are written to afterwards.
fn judge_image(
    moment: &Moment,
    (seed, kind, after): (u64, Crash, Option<Crash>),
    expected: Expected<'_>,
) -> Result<(), String> {
    let image = || {
        let disk = moment.crash(seed, kind);
        after.map_or(disk.clone(), |kind| disk.crash(seed, kind))
    };
    let disk = image();
    // Where there is no file yet, there is nothing to read.
    let readable = seed.is_multiple_of(16) && disk.paths().iter().any(|path| path == Path::new(PATH));
    let (store, at) = judge(&disk, expected)?;
    if readable {
        judge_read_only(&image(), Expected { least: at, most: at, ..expected })?;
    }
    if seed.is_multiple_of(9) {
        return goes_on(&disk, store, expected.life, at);
    }
    abandon(&disk, store);
    Ok(())
}
