//! Keys, values that can be recognised, and digests of whole stores.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::OnceLock;

use crate::subject::{Subject, SubjectSnapshot};

/// A key's bytes.
pub type Key = Vec<u8>;

/// The longest value that a test stores, in bytes.
const LONGEST: usize = 1 << 18;
/// Where in the pattern the rest of a value may begin.
const PATTERN_STARTS: u64 = 4096;

/// SplitMix64's finalizer (Steele, Lea, Flood 2014).
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A number made of several.
pub fn mix_all(words: &[u64]) -> u64 {
    words.iter().fold(0, |state, &word| mix(state ^ word))
}

/// A value: eight bytes that tell it from every other, the rest follows from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    head: u64,
    len: usize,
}

impl Payload {
    /// The value number `id` with this length.
    pub fn new(id: u64, len: usize) -> Self {
        let mut head = mix(id).to_le_bytes();
        head[len.min(8)..].fill(0);
        Payload { head: u64::from_le_bytes(head), len }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.to_le_bytes()[..self.len.min(8)].to_vec();
        bytes.extend_from_slice(self.rest());
        bytes
    }

    /// Which value these bytes are; `None` when no test ever stored them.
    pub fn recognise(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at(bytes.len().min(8));
        let mut head = [0; 8];
        head[..first.len()].copy_from_slice(first);
        let payload = Payload { head: u64::from_le_bytes(head), len: bytes.len() };
        (payload.rest() == rest).then_some(payload)
    }

    fn rest(&self) -> &'static [u8] {
        static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
        let pattern = PATTERN.get_or_init(|| {
            let words = (LONGEST as u64 + PATTERN_STARTS) / 8;
            (0..words).flat_map(|word| mix(word).to_le_bytes()).collect()
        });
        let start = (self.head % PATTERN_STARTS) as usize;
        &pattern[start..start + self.len.saturating_sub(8)]
    }

    fn digest(&self, key: &[u8]) -> u64 {
        let words = key.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        words.chain([key.len() as u64, self.head, self.len as u64]).fold(0, |state, word| mix(state ^ word))
    }
}

/// The size of a store's content and a number made of all of it; order does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest {
    pub entries: u64,
    sum: u64,
}

impl Digest {
    /// Counts an entry.
    pub fn add(&mut self, key: &[u8], payload: &Payload) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(payload.digest(key));
    }

    fn subtract(&mut self, key: &[u8], payload: &Payload) {
        self.entries -= 1;
        self.sum = self.sum.wrapping_sub(payload.digest(key));
    }

    /// Reads a whole store; complains about values that nobody wrote and about errors.
    pub fn of(store: &Subject) -> Result<Digest, String> {
        match store {
            Subject::Records(store) => Digest::of_entries(store, store.len()),
            Subject::Cells(map) => Digest::of_entries(map, map.len()),
        }
    }

    /// The same for what a store was.
    pub fn of_snapshot(snapshot: &SubjectSnapshot) -> Result<Digest, String> {
        match snapshot {
            SubjectSnapshot::Records(snapshot) => Digest::of_entries(snapshot, snapshot.len()),
            SubjectSnapshot::Cells(snapshot) => Digest::of_entries(snapshot.iter(), snapshot.len()),
        }
    }

    /// The same for whatever yields entries, of which it says that there are `len`.
    pub fn of_entries<B: Deref<Target = [u8]>>(
        entries: impl IntoIterator<Item = tophash::Result<(B, B)>>,
        len: u64,
    ) -> Result<Digest, String> {
        let mut digest = Digest::default();
        for entry in entries {
            let (key, value) = entry.map_err(|error| format!("iterating: {error}"))?;
            let payload = Payload::recognise(&value)
                .ok_or_else(|| format!("a value of {:?} that nobody stored", &*key))?;
            digest.add(&key, &payload);
        }
        if len != digest.entries {
            return Err(format!("len {len} but {} entries", digest.entries));
        }
        Ok(digest)
    }
}

/// What a store should hold.
#[derive(Clone, Default, Debug)]
pub struct Content {
    entries: BTreeMap<Key, Payload>,
    digest: Digest,
}

impl Content {
    pub fn insert(&mut self, key: &Key, payload: Payload) {
        if let Some(old) = self.entries.insert(key.clone(), payload) {
            self.digest.subtract(key, &old);
        }
        self.digest.add(key, &payload);
    }

    pub fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.digest.subtract(key, &old);
        }
    }

    pub fn clear(&mut self) {
        *self = Content::default();
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn get(&self, key: &Key) -> Option<Payload> {
        self.entries.get(key).copied()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }
}
