//! The keys of the benchmark, the same every time.

pub type Key = [u8; 16];

/// The key with this number: SplitMix64, twice.
pub fn key(number: u64) -> Key {
    let mut key = [0; 16];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for half in key.chunks_exact_mut(8) {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
        half.copy_from_slice(&state.to_le_bytes());
    }
    key
}

/// The first half of that key, as a number.
pub fn number(place: u64) -> u64 {
    let key = key(place);
    u64::from_le_bytes(std::array::from_fn(|byte| key[byte]))
}

/// Fisher-Yates with the same random numbers every time.
pub fn shuffle<K: Copy>(keys: &[K]) -> Vec<K> {
    let mut shuffled = keys.to_vec();
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, (number(i as u64 + 77) % (i as u64 + 1)) as usize);
    }
    shuffled
}
