//! The inline layout beside a `HashMap`: random operations on cells of many widths, with closes, kills and read-only openings.

use std::collections::{BTreeSet, HashMap};

use super::PATH;
use crate::file::sim::{Crash, SimDisk};
use crate::store::inline::Change;
use crate::{DataType, Error, Options, Schema, Store};

/// Widths of keys and elems: whole words, parts of words, cells across words, sets, and the largest.
const WIDTHS: &[(u32, u32)] =
    &[(8, 8), (4, 4), (4, 8), (1, 0), (2, 1), (3, 5), (7, 9), (16, 0), (13, 3), (20, 40), (128, 128)];
const STEPS: u32 = if cfg!(miri) { 60 } else { 3_000 };
const STEPS_TO_A_RESTART: u64 = if cfg!(miri) { 20 } else { 300 };

type Model = HashMap<Vec<u8>, Vec<u8>>;

struct Rig {
    disk: SimDisk,
    options: Options,
    store: Option<Store>,
    widths: (usize, usize),
    model: Model,
    random: u64,
}

impl Rig {
    fn new(key_width: u32, elem_width: u32, seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let (key, elem) = (DataType::fixed("key", key_width), DataType::fixed("elem", elem_width));
        let schema = Schema::new(key.unwrap(), elem.unwrap());
        let options = Options { schema: Some(schema), ..Options::new() };
        let options = options.media(disk.clone()).background(false).checkpoint_bytes(20_000).seed(seed);
        let store = Some(options.clone().open(PATH).unwrap());
        let widths = (key_width as usize, elem_width as usize);
        Rig { disk, options, store, widths, model: Model::new(), random: seed | 1 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    /// One of a few hundred keys, which differ in their first bytes and in their last.
    fn key(&mut self) -> Vec<u8> {
        let number = self.below(if self.widths.0 == 1 { 250 } else { 400 }) as u16;
        let mut key = vec![0xa5; self.widths.0];
        key[0] = number as u8;
        if let Some(last) = key.get_mut(1..).and_then(<[u8]>::last_mut) {
            *last = (number >> 8) as u8;
        }
        key
    }

    fn elem(&mut self) -> Vec<u8> {
        (0..self.widths.1).map(|_| self.below(256) as u8).collect()
    }

    fn step(&mut self) {
        let (key, elem) = (self.key(), self.elem());
        let mut buffer = vec![0; self.widths.1];
        let expected = self.model.get(&key).cloned();
        let existed = match self.below(10) {
            0..4 => {
                let existed = self.store().inline_insert(&key, &elem, &mut buffer).unwrap();
                self.model.insert(key, elem);
                existed
            }
            4..7 => {
                self.model.remove(&key);
                self.store().inline_remove(&key, &mut buffer).unwrap()
            }
            7 => self.store().inline_get(&key, &mut buffer).unwrap(),
            8 => {
                let existed = self.store().inline_update(&key, &mut buffer.clone(), |_, new| {
                    new.copy_from_slice(&elem);
                    Change::Put
                });
                self.model.insert(key, elem);
                if let Some(expected) = &expected {
                    buffer.clone_from(expected);
                }
                existed.unwrap()
            }
            _ => {
                let change = if elem.first().is_some_and(|byte| byte % 2 == 0) {
                    Change::Keep
                } else {
                    Change::Remove
                };
                if change == Change::Remove {
                    self.model.remove(&key);
                }
                self.store().inline_update(&key, &mut buffer, |_, _| change).unwrap()
            }
        };
        assert_eq!(existed.then_some(buffer), expected);
    }

    #[track_caller]
    fn check(&self, store: &Store) {
        assert_eq!(store.len(), self.model.len() as u64);
        let mut found = Model::new();
        let (key_width, elem_width) = (self.widths.0 as u8, self.widths.1 as u8);
        let all = |bytes| {
            let mut iter = store.inline_iter();
            let next = move || iter.next_with(bytes, |key, elem| Ok((key.to_vec(), elem.to_vec())));
            std::iter::from_fn(next).map(Result::unwrap)
        };
        for (key, elem) in all((key_width, elem_width)) {
            assert_eq!(found.insert(key, elem), None, "no key comes twice");
        }
        assert_eq!(found, self.model);
        let sorted = |bytes| all(bytes).collect::<BTreeSet<_>>();
        assert_eq!(sorted((key_width, 0)), self.model.keys().map(|key| (key.clone(), vec![])).collect());
        assert_eq!(sorted((0, elem_width)), self.model.values().map(|elem| (vec![], elem.clone())).collect());
        let mut elem = vec![0; self.widths.1];
        for (key, value) in &self.model {
            assert!(store.inline_get(key, &mut elem).unwrap());
            assert_eq!(&elem, value);
        }
        let report = store.verify().unwrap();
        assert!(report.is_clean(), "{:?}", report.faults);
        assert_eq!(report.entries, store.len());
    }

    fn restart(&mut self) {
        let store = self.store.take().unwrap();
        match self.below(3) {
            0 => store.close().unwrap(),
            1 => {
                let killed = self.disk.crash(self.random, Crash::Kill);
                let looking = self.options.clone().media(killed.clone()).read_only(true);
                self.check(&looking.open(PATH).unwrap());
                self.disk = killed;
                self.options = self.options.clone().media(self.disk.clone());
                drop(store);
            }
            _ => {
                store.sync().unwrap();
                let cut = self.disk.crash(self.random, Crash::Power);
                self.disk = cut;
                self.options = self.options.clone().media(self.disk.clone());
                drop(store);
            }
        }
        self.store = Some(self.options.clone().open(PATH).unwrap());
        self.check(self.store());
    }
}

#[test]
fn cells_of_many_widths_hold_what_a_map_holds() {
    for (&(key_width, elem_width), seed) in WIDTHS.iter().zip(1..) {
        let mut rig = Rig::new(key_width, elem_width, seed);
        for _ in 0..STEPS {
            rig.step();
            if rig.below(STEPS_TO_A_RESTART) == 0 {
                rig.restart();
            }
        }
        rig.check(rig.store());
        if !cfg!(miri) {
            assert!(rig.store().growth().unwrap().b >= 4, "the table has grown");
        }
    }
}

#[test]
fn a_checkpoint_frees_the_log_behind_it() {
    let rig = Rig::new(8, 8, 1);
    let mut old = [0; 8];
    for round in 0..40_000u64 {
        rig.store().inline_insert(&(round % 50).to_le_bytes(), &round.to_le_bytes(), &mut old).unwrap();
    }
    rig.store().checkpoint().unwrap();
    let stats = rig.store().stats().unwrap();
    // 40,000 records of 24 bytes are 960,000.
    assert!(stats.allocated_bytes < 400_000, "{} bytes", stats.allocated_bytes);
    assert!(stats.log_segments <= 2, "{} segments", stats.log_segments);
}

#[test]
fn a_file_is_opened_for_its_own_types_alone() {
    let rig = Rig::new(8, 4, 1);
    rig.store().inline_insert(&[1; 8], &[2; 4], &mut [0; 4]).unwrap();
    drop(rig.store);
    let other = Schema::new(DataType::fixed("key", 8).unwrap(), DataType::fixed("elem", 8).unwrap());
    for wrong in [Schema::BYTES, other] {
        let options = Options { schema: Some(wrong), ..rig.options.clone() };
        match options.open(PATH) {
            Err(Error::Schema { .. }) => {}
            found => panic!("{found:?}"),
        }
    }
    let any = Options { schema: None, ..rig.options };
    assert_eq!(any.open(PATH).unwrap().len(), 1);
}
