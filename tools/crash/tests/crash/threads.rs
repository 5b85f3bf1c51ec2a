//! Writers and readers at work while a sync or a checkpoint is under way, and crashes in its midst (D4, D5, D7, D10).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tophash::sim::{Call, CallKind, Crash, Failure, Fault, SimDisk, When};
use tophash::{Durability, Error};

use tophash_crash::content::mix_all;
use tophash_crash::image::{Expected, abandon, goes_on, judge};
use tophash_crash::life::{Life, Op};
use tophash_crash::program::{PATH, Setup};
use tophash_crash::subject::{Form, Subject};
use tophash_crash::tally::Tally;

fn key(form: Form, n: u64) -> Vec<u8> {
    form.key(format!("k{n:05}"))
}

fn insert(form: Form, n: u64, id: u64) -> Op {
    Op::Insert(key(form, n), form.payload(id, 26))
}

/// How far the writers are.
#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    acked: AtomicUsize,
    durable: AtomicUsize,
}

/// A second thread that does the next operation of a list whenever it is asked to.
struct Assistant {
    ask: Sender<()>,
    done: Mutex<Receiver<()>>,
}

impl Assistant {
    fn start(store: Subject, ops: Vec<Op>, counts: Arc<Counts>) -> (Self, thread::JoinHandle<Subject>) {
        let (ask, asked) = channel();
        let (say, done) = channel();
        let thread = thread::spawn(move || {
            for op in ops {
                if asked.recv().is_err() {
                    break;
                }
                counts.begun.fetch_add(1, Ordering::SeqCst);
                op.run(&store).unwrap();
                counts.acked.fetch_add(1, Ordering::SeqCst);
                let _ = say.send(());
            }
            store
        });
        (Assistant { ask, done: Mutex::new(done) }, thread)
    }

    /// Has one operation done. It is never to wait for the checkpoint or the sync that is under way.
    fn work(&self) {
        if self.ask.send(()).is_ok() {
            let done = self.done.lock().unwrap().recv_timeout(Duration::from_secs(20));
            assert!(done.is_ok(), "a write waits for a sync or a checkpoint");
        }
    }
}

/// What a test does in the main thread, while the assistant writes.
type Task = fn(&Subject) -> tophash::Result<()>;

/// Runs `task` again and again; at each of its calls `per_call` operations are done by another thread, and crashed.
fn writes_during(name: &'static str, form: Form, task: Task, times: usize, per_call: usize) {
    let disk = SimDisk::new(11);
    let mut life = Life::new(form);
    (0..300).for_each(|n| life.push(insert(form, n, n)));
    // A table of several pages.
    let store = Setup::ROOMY.with(form).open(&disk).unwrap();
    for n in 0..300 {
        insert(form, n, n).run(&store).unwrap();
    }
    store.checkpoint().unwrap();

    // New keys, replacements and removals, all over the table.
    let ops: Vec<Op> = (0..600u64)
        .map(|n| match mix_all(&[n]) % 4 {
            0 => Op::Remove(key(form, mix_all(&[n, 1]) % 300)),
            1 => insert(form, mix_all(&[n, 1]) % 300, 1000 + n),
            _ => insert(form, 300 + n, 1000 + n),
        })
        .collect();
    ops.iter().for_each(|op| life.push(op.clone()));
    let counts = Arc::new(Counts::default());
    for count in [&counts.begun, &counts.acked, &counts.durable] {
        count.store(300, Ordering::SeqCst);
    }
    let (assistant, thread) = Assistant::start(store.clone(), ops, Arc::clone(&counts));
    let assistant = Arc::new(assistant);

    let (life, tally) = (Arc::new(life), Arc::new(Tally::new(name)));
    let main = thread::current().id();
    let busy = Arc::new(AtomicBool::new(false));
    let watch = {
        let (life, tally, counts) = (Arc::clone(&life), Arc::clone(&tally), Arc::clone(&counts));
        let (assistant, busy) = (Arc::clone(&assistant), Arc::clone(&busy));
        move |disk: &SimDisk, call: &Call| {
            let mine = thread::current().id() == main;
            if mine && !busy.load(Ordering::SeqCst) {
                return;
            }
            if mine && call.kind != CallKind::Store {
                (0..per_call).for_each(|_| assistant.work());
            }
            if !mine && !call.number.is_multiple_of(5) {
                return;
            }
            tally.moment();
            let moment = disk.freeze();
            let [begun, acked, durable] =
                [&counts.begun, &counts.acked, &counts.durable].map(|count| count.load(Ordering::SeqCst));
            for n in 0..if mine { 12 } else { 3 } {
                let seed = mix_all(&[call.number, n]);
                let (kind, least) = if n % 3 == 2 { (Crash::Kill, acked) } else { (Crash::Power, durable) };
                let expected = Expected { life: &life, least, most: begun };
                let label = || format!("{call:?} mine {mine} {kind:?} {durable} {acked} {begun}");
                tally.image(label, || {
                    let image = moment.crash(seed, kind);
                    let (store, at) = judge(&image, expected)?;
                    if n == 0 {
                        return goes_on(&image, store, &life, at);
                    }
                    abandon(&image, store);
                    Ok(())
                });
            }
        }
    };
    disk.on_call(watch);
    for _ in 0..times {
        assistant.work();
        let covered = counts.acked.load(Ordering::SeqCst);
        busy.store(true, Ordering::SeqCst);
        task(&store).unwrap();
        busy.store(false, Ordering::SeqCst);
        counts.durable.store(covered, Ordering::SeqCst);
    }
    disk.off_call();
    drop(assistant);
    drop(store);
    let store = thread.join().unwrap();
    let at = counts.acked.load(Ordering::SeqCst);
    assert!(at > 340, "the assistant had work: {at}");
    goes_on(&disk, store, &life, at).unwrap();
    tally.end();
}

#[test]
fn writes_go_on_during_a_checkpoint() {
    writes_during("writes during a checkpoint", Form::Records, Subject::checkpoint, 6, 3);
    writes_during("words written during a checkpoint", Form::Words, Subject::checkpoint, 3, 3);
    writes_during("odd cells written during a checkpoint", Form::Odd, Subject::checkpoint, 2, 3);
}

/// A sync covers nothing that is appended while it runs; neither may its mark.
#[test]
fn writes_go_on_during_a_sync() {
    writes_during("writes during a sync", Form::Records, Subject::sync, 40, 2);
    writes_during("words written during a sync", Form::Words, Subject::sync, 25, 2);
}

/// Syncs, checkpoints and spare segments come from the background thread, whenever they come.
#[test]
fn the_background_thread_can_be_cut_short() {
    // Both leave as much in the log as several checkpoints wait for.
    cut_the_background_thread_short(Form::Records);
    cut_the_background_thread_short(Form::Odd);
}

fn cut_the_background_thread_short(form: Form) {
    let disk = SimDisk::new(18);
    let options = Setup::ROOMY.with(form).options(&disk).background(true).checkpoint_bytes(4 << 10);
    let options = options.durability(Durability::Interval(Duration::from_millis(2)));
    let store = Subject::open(options, PATH.as_ref(), form).unwrap();
    let mut life = Life::new(form);
    let ops: Vec<Op> = (0..1200).map(|n| insert(form, mix_all(&[n]) % 500, n)).collect();
    ops.iter().for_each(|op| life.push(op.clone()));
    let (life, counts, tally) =
        (Arc::new(life), Arc::new(Counts::default()), Arc::new(Tally::new("background")));
    let (its_life, its_counts, its_tally) = (Arc::clone(&life), Arc::clone(&counts), Arc::clone(&tally));
    disk.on_call(move |disk, call| {
        if call.kind == CallKind::Store && call.number % 17 > 0 {
            return;
        }
        its_tally.moment();
        // The operations go on meanwhile: what is asked first is the least, what is asked last the most.
        let [durable, acked] =
            [&its_counts.durable, &its_counts.acked].map(|count| count.load(Ordering::SeqCst));
        let moment = disk.freeze();
        let most = its_counts.begun.load(Ordering::SeqCst);
        for (kind, least) in [(Crash::Power, durable), (Crash::Power, durable), (Crash::Kill, acked)] {
            let seed = mix_all(&[call.number, least as u64]);
            let expected = Expected { life: &its_life, least, most };
            its_tally.image(
                || format!("{call:?} {kind:?} {durable} {acked} {most}"),
                || {
                    let image = moment.crash(seed, kind);
                    abandon(&image, judge(&image, expected)?.0);
                    Ok(())
                },
            );
        }
    });
    for (n, op) in ops.iter().enumerate() {
        counts.begun.store(n + 1, Ordering::SeqCst);
        op.run(&store).unwrap();
        counts.acked.store(n + 1, Ordering::SeqCst);
        if n % 100 == 99 {
            store.sync().unwrap();
            counts.durable.store(n + 1, Ordering::SeqCst);
        }
    }
    let checkpoints = store.stats().unwrap().checkpoint_seq;
    disk.off_call();
    goes_on(&disk, store, &life, life.len()).unwrap();
    assert!(checkpoints > 2, "{checkpoints} checkpoints");
    tally.end();
}

/// Two syncs in flight could let one of them lie (D5).
#[test]
fn syncs_take_turns_and_a_failed_one_fails_those_that_wait() {
    let disk = SimDisk::new(12);
    let store = Setup::ORDINARY.options(&disk).open(PATH).unwrap();
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = Arc::clone(&inside);
    disk.on_call(move |_, call| {
        if call.kind == CallKind::Sync {
            let now = seen.0.fetch_add(1, Ordering::SeqCst) + 1;
            seen.1.fetch_max(now, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            seen.0.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let write_and_sync = |thread: u64, n: u64| {
        store.insert(key(Form::Records, thread * 100 + n), "value")?;
        store.sync()
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || (0..5).for_each(|n| write_and_sync(thread, n).unwrap()));
        }
    });
    assert_eq!(inside.1.load(Ordering::SeqCst), 1, "syncs in flight at the same time");

    disk.fail(Fault { when: When::Once(0), kind: Some(CallKind::Sync), failure: Failure::Io });
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || write_and_sync(thread, 50))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let failed = results.iter().filter(|result| matches!(result, Err(Error::Io { .. }))).count();
    let refused = results.iter().filter(|result| matches!(result, Err(Error::Poisoned))).count();
    assert_eq!((failed, refused), (1, 3), "{results:?}");
    assert!(matches!(store.insert("key", "value"), Err(Error::Poisoned)));
    assert_eq!(store.get(key(Form::Records, 3)).unwrap().unwrap(), "value", "reads go on");
    assert!(matches!(store.close(), Err(Error::Poisoned)));
}
