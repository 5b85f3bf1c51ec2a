//! YCSB's core workloads A, B and C: reads and updates of keys that follow a scrambled zipfian distribution.

use anyhow::Result;

use super::{Job, get_checked, rate, report};
use crate::data::{Random, key, value};
use crate::engines::Engine;
use crate::rows::Row;
use crate::zipf::Zipfian;

/// Reading alone comes first, so that it finds the store as it was filled.
const WORKLOADS: [(Row, u64); 3] = [(Row::YcsbC, 0), (Row::YcsbB, 5), (Row::YcsbA, 50)];

pub fn run(job: &Job, engine: &dyn Engine) -> Result<()> {
    let (zipfian, mut random) = (Zipfian::new(job.entries), Random::new(3));
    let mut buffer = Vec::new();
    for (row, updates_percent) in WORKLOADS {
        // Drawn beforehand: powers take as long as a lookup.
        let operations: Vec<(u32, bool)> = (0..job.entries)
            .map(|_| (zipfian.scrambled(&mut random) as u32, random.below(100) < updates_percent))
            .collect();
        let operation = |(number, updates): &(u32, bool)| {
            let key = key(u64::from(*number));
            match updates {
                true => engine.put(&key, &value(&key, 2)),
                false => get_checked(engine, &key, &mut buffer).map(drop),
            }
        };
        report(row, rate(operations.iter(), operation)?)?;
    }
    engine.sync()
}
