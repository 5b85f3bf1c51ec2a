//! Crash at every call of a whole life, and of shorter ones under other options.

use std::path::Path;
use std::sync::Arc;

use tophash::Options;
use tophash::sim::{Call, CallKind, Crash, Moment, SimDisk};

use crate::content::mix_all;
use crate::image::{Expected, Tally, abandon, goes_on, judge, judge_read_only};
use crate::life::Life;
use crate::program::{PATH, Program, Progress, Sights, Step, cramped, immediate, options};
use crate::script::{short_life, whole_life};

/// What runs, and which of its moments a test looks at.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    script: fn() -> Vec<Step>,
    options: fn(&SimDisk) -> Options,
    /// What is acknowledged is durable.
    immediate: bool,
    /// Power cuts of each call.
    cuts: u64,
    /// The moments whose number has this remainder, divided by the second.
    part: (u64, u64),
}

const WHOLE_LIFE: Setting =
    Setting { name: "", script: whole_life, options, immediate: false, cuts: 52, part: (0, 2) };

impl Setting {
    fn program(&self) -> Program {
        Program::new(SimDisk::new(3), Life::new(), Progress::default())
            .with_options(self.options)
            .all_immediate(self.immediate)
            .with_shapes()
    }

    /// Runs the script undisturbed.
    fn undisturbed(&self) -> (Vec<Life>, Sights) {
        self.program().run_whole(&(self.script)())
    }
}

#[test]
fn the_script_shows_what_it_should() {
    let (lives, sights) = WHOLE_LIFE.undisturbed();
    println!("{sights:?}, {} operations", lives.iter().map(Life::len).sum::<usize>());
    assert!(sights.doublings >= 3 && sights.same_size_growths >= 1, "{sights:?}");
    assert!(sights.in_doubling >= 2 && sights.in_same_size_growth >= 1, "{sights:?}");
    assert!(sights.overflow_chunks >= 1 && sights.log_segments >= 4 && sights.recovered >= 2, "{sights:?}");
    assert_eq!(lives.len(), 2, "one power cut");
}

/// At each call of its part, and at each sixth store, that many power cuts, four kills, and four kills that a power
/// cut follows; at the other stores a few.
fn crash_everywhere(setting: Setting) {
    let lives = Arc::new(setting.undisturbed().0);
    let tally = Arc::new(Tally::new(setting.name));
    let (watched, judged) = (Arc::clone(&lives), Arc::clone(&tally));
    let (remainder, parts) = setting.part;
    let watch = move |disk: &SimDisk, call: &Call, now: Progress| {
        if call.number % parts != remainder {
            return;
        }
        judged.point();
        let all = call.kind != CallKind::Store || (call.number / parts).is_multiple_of(6);
        let (cuts, kills) = if all { (setting.cuts, 4) } else { (6, 1) };
        let life = &watched[now.life];
        let moment = disk.freeze();
        let place = mix_all(&[now.disk as u64, call.number]);
        let image = |seed: u64, kind, after: Option<Crash>| {
            let least = if (kind, after) == (Crash::Kill, None) { now.acked } else { now.durable };
            let expected = Expected { life, least, most: now.begun };
            let label = || format!("disk {}, {call:?}, {now:?}, {kind:?} {after:?} seed {seed:#x}", now.disk);
            judged.image(label, || judge_image(&moment, (seed, kind, after), expected));
        };
        for n in 0..cuts {
            image(mix_all(&[place, n]), Crash::Power, None);
        }
        for n in 0..kills {
            image(mix_all(&[place, n, 1]), Crash::Kill, None);
            image(mix_all(&[place, n, 2]), Crash::Kill, Some(Crash::Power));
        }
    };
    let (again, _) = setting.program().with_watch(Arc::new(watch)).run_whole(&(setting.script)());
    assert_eq!(again.len(), lives.len(), "the same calls give the same disk");
    tally.end();
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

#[test]
fn crashes_at_every_call_first_half() {
    crash_everywhere(Setting { name: "whole life, first half", ..WHOLE_LIFE });
}

#[test]
fn crashes_at_every_call_second_half() {
    crash_everywhere(Setting { name: "whole life, second half", part: (1, 2), ..WHOLE_LIFE });
}

#[test]
fn what_is_acknowledged_as_immediate_is_durable() {
    let setting = Setting { name: "immediate", options: immediate, immediate: true, cuts: 12, ..WHOLE_LIFE };
    crash_everywhere(Setting { script: short_life, part: (0, 1), ..setting });
}

#[test]
fn copies_of_index_pages_are_dropped_when_their_place_is_durable() {
    let setting = Setting { name: "cramped memory", options: cramped, cuts: 12, ..WHOLE_LIFE };
    crash_everywhere(Setting { script: short_life, part: (0, 3), ..setting });
}
