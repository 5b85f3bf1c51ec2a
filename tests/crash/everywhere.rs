//! Crash at every call of a whole life.

use std::sync::Arc;

use tophash::sim::{CallKind, Crash, SimDisk};

use crate::content::mix_all;
use crate::image::{Expected, Tally, goes_on, judge, judge_read_only};
use crate::life::Life;
use crate::program::{Program, Progress, Sights, Step};
use crate::script::whole_life;

const DISK_SEED: u64 = 3;

/// Runs the script undisturbed.
pub fn undisturbed(script: &[Step], disk_seed: u64) -> (Vec<Life>, Sights) {
    let mut program = Program::new(SimDisk::new(disk_seed), Life::new(), Progress::default()).with_shapes();
    program.open();
    program.run(script);
    program.end()
}

#[test]
fn the_script_shows_what_it_should() {
    let (lives, sights) = undisturbed(&whole_life(), DISK_SEED);
    println!("{sights:?}, {} operations", lives.iter().map(Life::len).sum::<usize>());
    assert!(sights.doublings >= 3 && sights.same_size_growths >= 1, "{sights:?}");
    assert!(sights.in_doubling >= 2 && sights.in_same_size_growth >= 1, "{sights:?}");
    assert!(sights.overflow_chunks >= 1 && sights.log_segments >= 4 && sights.recovered >= 2, "{sights:?}");
    assert_eq!(lives.len(), 2, "one power cut");
}

/// Which share of the moments a test looks at.
struct Part {
    number: u64,
    of: u64,
}

/// At each call 52 power cuts, four kills, and four kills that a power cut follows; at each sixth store the same, at
/// the others a few.
fn crash_everywhere(name: &'static str, part: Part) {
    let script = whole_life();
    let lives = Arc::new(undisturbed(&script, DISK_SEED).0);
    let tally = Arc::new(Tally::new(name));
    let (watched, judged) = (Arc::clone(&lives), Arc::clone(&tally));
    let watch = move |disk: &SimDisk, call: &tophash::sim::Call, now: Progress| {
        if call.number % part.of != part.number {
            return;
        }
        judged.point();
        let all = call.kind != CallKind::Store || (call.number / part.of).is_multiple_of(6);
        let (cuts, kills) = if all { (52, 4) } else { (6, 1) };
        let life = &watched[now.life];
        let moment = disk.freeze();
        let place = mix_all(&[now.disk as u64, call.number]);
        let image = |seed: u64, kind, after: Option<Crash>| {
            let least = if (kind, after) == (Crash::Kill, None) { now.acked } else { now.durable };
            let expected = Expected { life, least, most: now.begun };
            let label = || format!("disk {}, {call:?}, {now:?}, {kind:?} {after:?} seed {seed:#x}", now.disk);
            judged.image(label, || {
                let make = || {
                    let disk = moment.crash(seed, kind);
                    after.map_or(disk.clone(), |kind| disk.crash(seed, kind))
                };
                let disk = make();
                let (store, at) = judge(&disk, expected)?;
                if seed.is_multiple_of(8) {
                    let read = judge_read_only(&make(), Expected { least: at, most: at, ..expected });
                    // Where there is no file yet, there is nothing to read.
                    if moment_has_file(&make()) {
                        read?;
                    }
                }
                if seed.is_multiple_of(5) { goes_on(&disk, store, life, at) } else { Ok(()) }
            });
        };
        for n in 0..cuts {
            image(mix_all(&[place, n]), Crash::Power, None);
        }
        for n in 0..kills {
            image(mix_all(&[place, n, 1]), Crash::Kill, None);
            image(mix_all(&[place, n, 2]), Crash::Kill, Some(Crash::Power));
        }
    };
    let mut program = Program::new(SimDisk::new(DISK_SEED), Life::new(), Progress::default())
        .with_shapes()
        .with_watch(Arc::new(watch));
    program.open();
    program.run(&script);
    let (again, _) = program.end();
    assert_eq!(again.len(), lives.len(), "the same calls give the same disk");
    tally.end();
}

fn moment_has_file(disk: &SimDisk) -> bool {
    disk.contents(crate::program::PATH).is_some()
}

#[test]
fn crashes_at_every_call_first_half() {
    crash_everywhere("first half", Part { number: 0, of: 2 });
}

#[test]
fn crashes_at_every_call_second_half() {
    crash_everywhere("second half", Part { number: 1, of: 2 });
}
