//! What happens beside a sync or a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tophash::sim::{CallKind, SimDisk};

use super::{Verdict, insert, open};
use crate::life::{Life, Op};
use crate::program::{Program, Progress, Setup, Step};
use crate::script::{ORDINARY, Script};
use crate::subject::Form;
use crate::workload::Dice;

/// How long a thread is given to begin a sync beside another one's.
const HEAD_START: Duration = Duration::from_millis(5);

/// While one thread syncs, another one would like to.
pub fn two_threads_that_sync(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY.with(form))?;
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    let (ask, asked) = channel();
    let other = store.clone();
    let thread = thread::spawn(move || {
        let _ = asked.recv();
        insert(&other, 1, ORDINARY)?;
        other.sync()
    });
    let (inside, both) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&both);
    disk.on_call(move |_, call| {
        if call.kind == CallKind::Sync {
            if inside.swap(true, Ordering::SeqCst) {
                seen.store(true, Ordering::SeqCst);
                return;
            }
            let _ = ask.send(());
            thread::sleep(HEAD_START);
            inside.store(false, Ordering::SeqCst);
        }
    });
    let synced = store.sync();
    // Without the hook, the other thread is not waiting to be asked any more.
    disk.off_call();
    let other = thread.join().map_err(|_| "the other thread panicked")?;
    synced.and(other).map_err(|error| error.to_string())?;
    match both.load(Ordering::SeqCst) {
        true => Err("two syncs are in flight".into()),
        false => Ok(()),
    }
}

/// Writes go on while a checkpoint drops copies of pages from memory: what they change is not dropped. The program
/// looks at what its store holds after each such step.
pub fn copies_dropped_beside_writes(dice: &mut Dice, form: Form) -> Verdict {
    let mut script = Script::new(form);
    script.insert_new(60, 20);
    script.checkpoint();
    for _ in 0..3 {
        script.insert_new(3, 5);
        let ops =
            (0..dice.between(2, 6)).map(|_| Op::Insert(script.key(), script.payload(ORDINARY))).collect();
        script.push(Step::CheckpointBeside(ops));
    }
    script.push(Step::Reopen);
    let disk = SimDisk::new(dice.below(u64::MAX));
    let program = Program::new(disk, Life::new(form), Progress::default()).with_setup(Setup::TIGHT);
    program.run_whole(&script.end());
    Ok(())
}
