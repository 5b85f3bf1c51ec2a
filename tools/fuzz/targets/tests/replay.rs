//! Every input that is kept: the corpus, and what the fuzzers found. And some that are made by chance: as many as
//! `TOPHASH_FUZZ_INPUTS` says, for where there is no libFuzzer.

use std::env;
use std::fs;
use std::path::Path;

type Run = fn(&[u8]);
type Describe = fn(&[u8]) -> String;

fn replay(target: &str, run: Run, describe: Describe) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut inputs = 0;
    for kind in ["corpus", "found"] {
        let Ok(directory) = fs::read_dir(root.join(kind).join(target)) else { continue };
        for file in directory {
            let path = file.unwrap().path();
            let input = fs::read(&path).unwrap();
            // Shown where the input fails.
            println!("{}: {}", path.display(), describe(&input));
            run(&input);
            inputs += 1;
        }
    }
    assert!(inputs > 10, "{inputs} inputs");
}

#[test]
fn inputs_of_open() {
    replay("open", tophash_fuzz_targets::open, tophash_fuzz_targets::describe_open);
}

#[test]
fn inputs_of_operations() {
    replay("operations", tophash_fuzz_targets::operations, tophash_fuzz_targets::describe_operations);
}

#[test]
fn inputs_of_parsers() {
    replay("parsers", tophash_fuzz_targets::parsers, |input| format!("{input:?}"));
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn run_by_chance(run: Run, describe: Describe) {
    let inputs = env::var("TOPHASH_FUZZ_INPUTS").map_or(500, |inputs| inputs.parse().unwrap());
    for seed in 0..inputs {
        let mut random = Random(seed);
        let len = 16 + random.next() % 400;
        let input = random.bytes(len);
        let outcome = std::panic::catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "seed {seed}: {}", describe(&input));
    }
}

#[test]
fn chance_inputs_of_open() {
    run_by_chance(tophash_fuzz_targets::open, tophash_fuzz_targets::describe_open);
}

#[test]
fn chance_inputs_of_operations() {
    run_by_chance(tophash_fuzz_targets::operations, tophash_fuzz_targets::describe_operations);
}

#[test]
fn chance_inputs_of_parsers() {
    run_by_chance(tophash_fuzz_targets::parsers, |input| format!("{input:?}"));
}
