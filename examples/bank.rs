//! A bank, crash-tested: it moves money between accounts on a simulated disk, which asks at each of the bank's calls
//! what a restart would make of a kill or a power cut at this very moment.
//!
//! Two banks have a bug that no ordinary test finds, because it takes a crash at the wrong moment. The third is right.
//!
//! `cargo run --release --example bank`

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tophash::sim::{Crash, SimDisk};
use tophash::{Durability, Options, Result, Store};

const ACCOUNTS: u8 = 4;
const OPENING_BALANCE: u64 = 100;
const TRANSFERS: u8 = 40;

/// What a bank takes care of.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Care {
    /// Puts the one balance, then the other. A crash between the two...
    NoIntent,
    /// Tells the customer that it is done before it is on disk. A power cut then...
    NoSync,
    /// Writes down what it is going to do, does it, syncs, and then tells the customer.
    Full,
}

/// The new balances of two accounts.
type Intent = [(u8, u64); 2];

struct Bank {
    store: Store,
    care: Care,
}

impl Bank {
    /// Opens the bank, and does once more what it was about to do when it was cut off.
    fn open(options: Options, care: Care) -> Result<Bank> {
        let bank = Bank { store: options.durability(Durability::Buffered).open("bank.tophash")?, care };
        let intent = bank.store.get("intent")?.map(|bytes| decode(&bytes));
        intent.map_or(Ok(()), |intent| bank.put(intent))?;
        Ok(bank)
    }

    fn balance(&self, account: u8) -> Result<u64> {
        let bytes = self.store.get([account])?;
        Ok(bytes
            .map_or(OPENING_BALANCE, |bytes| u64::from_le_bytes((*bytes).try_into().expect("eight bytes"))))
    }

    /// Returns once the customer may be told that the money has moved.
    fn transfer(&self, from: u8, to: u8, amount: u64) -> Result<()> {
        let intent = [(from, self.balance(from)? - amount), (to, self.balance(to)? + amount)];
        if self.care != Care::NoIntent {
            self.store.insert("intent", encode(intent))?;
        }
        self.put(intent)?;
        if self.care != Care::NoSync {
            self.store.sync()?;
        }
        Ok(())
    }

    /// Doing it twice does no harm: these are balances, not differences.
    fn put(&self, intent: Intent) -> Result<()> {
        intent.iter().try_for_each(|(account, balance)| {
            self.store.insert([*account], balance.to_le_bytes()).map(|_| ())
        })
    }
}

fn encode(intent: Intent) -> Vec<u8> {
    intent.iter().flat_map(|(account, balance)| [&[*account][..], &balance.to_le_bytes()].concat()).collect()
}

fn decode(bytes: &[u8]) -> Intent {
    let balance = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    [(bytes[0], balance(1)), (bytes[9], balance(10))]
}

/// The customers' wishes: from, to, amount.
fn wishes() -> impl Iterator<Item = (u8, u8, u64)> {
    (0..TRANSFERS).map(|n| (n % ACCOUNTS, (3 * n + 1) % ACCOUNTS, u64::from(n) + 1))
}

/// The right balances after each number of transfers.
fn books() -> Vec<Vec<u64>> {
    let mut books = vec![vec![OPENING_BALANCE; ACCOUNTS.into()]];
    for (from, to, amount) in wishes() {
        let mut next = books[books.len() - 1].clone();
        next[usize::from(from)] -= amount;
        next[usize::from(to)] += amount;
        books.push(next);
    }
    books
}

/// Restarts the bank on what a crash left: everything acknowledged must be there, and at most one transfer more.
fn audit(disk: SimDisk, care: Care, acknowledged: usize) -> Result<Option<String>> {
    let bank = Bank::open(on(disk), care)?;
    let found: Vec<u64> = (0..ACCOUNTS).map(|account| bank.balance(account)).collect::<Result<_>>()?;
    let books = books();
    Ok(match books.iter().position(|book| *book == found) {
        Some(done) if (acknowledged..=acknowledged + 1).contains(&done) => None,
        Some(done) => Some(format!("{acknowledged} transfers were acknowledged, {done} are there")),
        None => Some(format!("{} in all became {}", books[0].iter().sum::<u64>(), found.iter().sum::<u64>())),
    })
}

/// Without random numbers and a background thread, the same calls come again in each run.
fn on(disk: SimDisk) -> Options {
    Options::new().background(false).seed(7).media(disk)
}

/// Crashes the bank at each of its calls; at the first bug, or the end, says what was found.
fn crash_everywhere(care: Care) -> Result<()> {
    let disk = SimDisk::new(7);
    let (acknowledged, images) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let bug: Arc<Mutex<Option<String>>> = Arc::default();

    let (promised, counted, first) = (Arc::clone(&acknowledged), Arc::clone(&images), Arc::clone(&bug));
    disk.on_call(move |disk, call| {
        let mut bug = first.lock().unwrap();
        let moment = disk.freeze();
        for (seed, kind) in (0..20).flat_map(|seed| [(seed, Crash::Kill), (seed, Crash::Power)]) {
            if bug.is_none() {
                counted.fetch_add(1, Ordering::Relaxed);
                let wrong = audit(moment.crash(seed, kind), care, promised.load(Ordering::Relaxed));
                let wrong = wrong.unwrap_or_else(|error| Some(error.to_string()));
                *bug = wrong.map(|what| format!("{kind:?} at call {}, seed {seed}: {what}", call.number));
            }
        }
    });
    let bank = Bank::open(on(disk.clone()), care)?;
    for (from, to, amount) in wishes() {
        bank.transfer(from, to, amount)?;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    disk.off_call();

    let (images, bug) = (images.load(Ordering::Relaxed), bug.lock().unwrap().take());
    assert_eq!(bug.is_none(), care == Care::Full, "{bug:?}");
    println!("{care:?}, {images} crashes: {}", bug.unwrap_or("nothing is lost".into()));
    bank.store.close()
}

fn main() -> Result<()> {
    [Care::NoIntent, Care::NoSync, Care::Full].into_iter().try_for_each(crash_everywhere)
}
