//! Keys and values: made from a number, so that a value can be checked without keeping a copy.

pub const KEY_BYTES: usize = 16;
pub const VALUE_BYTES: usize = 100;

/// Bytes of a key and of a value in a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    pub key: usize,
    pub value: usize,
}

impl Widths {
    pub const ENTRIES: Widths = Widths { key: KEY_BYTES, value: VALUE_BYTES };
    pub const IDS: Widths = Widths { key: 8, value: 8 };

    pub const fn entry(self) -> usize {
        self.key + self.value
    }
}

pub type Key = [u8; KEY_BYTES];
pub type Value = [u8; VALUE_BYTES];

/// Entries below this number are in the store; those from here on never are.
const ABSENT: u64 = 1 << 48;

/// The key with this number: SplitMix64, once for each half.
pub fn key(number: u64) -> Key {
    let mut key = [0; KEY_BYTES];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for half in key.chunks_exact_mut(8) {
        state = mix(state);
        half.copy_from_slice(&state.to_le_bytes());
    }
    key
}

/// A key that no workload inserts.
pub fn absent_key(number: u64) -> Key {
    key(ABSENT | number)
}

/// What is stored under a key: words that depend on the whole key and do not compress. Each overwriting takes
/// another generation.
pub fn value(key: &Key, generation: u8) -> Value {
    let mut value = [0; VALUE_BYTES];
    for (bytes, word) in value.chunks_mut(8).zip(words(key, generation)) {
        bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
    }
    value
}

/// The generation of a value, or `None` if these bytes were never stored under the key.
pub fn generation_of(key: &Key, bytes: &[u8]) -> Option<u8> {
    let first = u64::from_le_bytes(bytes.first_chunk().copied()?);
    let without = words(key, 0).next()?;
    let generation = u8::try_from(first.wrapping_sub(without)).ok()?;
    (*bytes == value(key, generation)).then_some(generation)
}

/// The id with this place: SplitMix64, so no two are the same.
pub fn id(place: u64) -> u64 {
    mix(place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// An id that no workload inserts.
pub fn absent_id(place: u64) -> u64 {
    id(ABSENT | place)
}

/// What is stored under an id. Each overwriting takes another generation.
pub fn number(id: u64, generation: u8) -> u64 {
    mix(id.wrapping_add(u64::from(generation)))
}

/// The numbers below `count` in a random order that is the same for the same seed: Fisher-Yates.
pub fn shuffled(count: u64, seed: u64) -> Vec<u32> {
    let count = u32::try_from(count).expect("fewer than 2^32 entries");
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut random = Random::new(seed);
    for place in (1..numbers.len()).rev() {
        numbers.swap(place, random.below(place as u64 + 1) as usize);
    }
    numbers
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, by multiplication instead of division.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 up to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn words(key: &Key, generation: u8) -> impl Iterator<Item = u64> {
    let (low, high) = key.split_at(8);
    let low = u64::from_le_bytes(low.try_into().expect("8 bytes"));
    let high = u64::from_le_bytes(high.try_into().expect("8 bytes")).wrapping_add(u64::from(generation));
    (0..VALUE_BYTES.div_ceil(8) as u64).map(move |word| {
        low.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.wrapping_add(word << 1)).wrapping_add(high)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_key_and_generation() {
        for number in 0..1000 {
            let key = key(number);
            let mut stored = value(&key, 7);
            assert_eq!(generation_of(&key, &stored), Some(7));
            assert_eq!(generation_of(&super::key(number + 1), &stored), None);
            stored[number as usize % VALUE_BYTES] ^= 0x10;
            assert_eq!(generation_of(&key, &stored), None);
        }
    }

    #[test]
    fn a_value_of_another_length_is_none() {
        let key = key(1);
        assert_eq!(generation_of(&key, &value(&key, 0)[..99]), None);
        assert_eq!(generation_of(&key, &[]), None);
    }

    #[test]
    fn shuffling_keeps_every_number_once() {
        let mut numbers = shuffled(1000, 3);
        assert_ne!(numbers, (0..1000).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}
