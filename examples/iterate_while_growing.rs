//! An iterator walks the table while a writer makes it eight times as large.
//!
//! Everything that was there when the iteration began is yielded exactly once; what is inserted meanwhile may be
//! yielded or not, as with Go's map.
//!
//! `cargo run --release --example iterate_while_growing`

use std::collections::HashSet;

use tophash::{Result, Store};

const THERE_BEFORE: u32 = 10_000;
const INSERTED_MEANWHILE: u32 = 70_000;

fn main() -> Result<()> {
    let path = std::env::temp_dir().join("iterate.tophash");
    let _ = std::fs::remove_file(&path);
    let store = Store::open(&path)?;
    for n in 0..THERE_BEFORE {
        store.insert(n.to_be_bytes(), "before")?;
    }
    let buckets_before = store.growth()?.buckets;

    let mut seen = HashSet::new();
    let mut inserted = THERE_BEFORE;
    let mut growths_seen = 0;
    for key in store.keys() {
        assert!(seen.insert(key?.to_vec()), "no key is yielded twice");
        if inserted < THERE_BEFORE + INSERTED_MEANWHILE {
            for n in inserted..inserted + 7 {
                let was_growing = store.growth()?.kind.is_some();
                store.insert(n.to_be_bytes(), "meanwhile")?;
                growths_seen += u32::from(!was_growing && store.growth()?.kind.is_some());
            }
            inserted += 7;
        }
    }

    let before = (0..THERE_BEFORE).filter(|n| seen.contains(&n.to_be_bytes()[..])).count();
    println!("{buckets_before} buckets became {} in {growths_seen} growths", store.growth()?.buckets);
    println!("yielded: all {before} keys that were there before, once each");
    println!("         {} of the {} inserted meanwhile", seen.len() - before, inserted - THERE_BEFORE);
    assert_eq!(before as u32, THERE_BEFORE);
    store.close()
}
