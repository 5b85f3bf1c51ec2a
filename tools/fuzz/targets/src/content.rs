//! Keys and values that tell what they are, so that a wrong one is seen without a record of what was stored.

/// Numbers of keys are below this.
pub const KEYS: u16 = 512;
/// The longest value that an operation stores.
const LONGEST_VALUE: u32 = 80_000;

/// Which value of a key this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    id: u16,
    len: u32,
}

impl Stamp {
    pub fn new(id: u16, len: u32) -> Self {
        let len = len.min(LONGEST_VALUE);
        // As much of the number as the value has room for.
        let id = match len {
            0 => 0,
            1 => id & 0xff,
            _ => id,
        };
        Stamp { id, len }
    }

    /// The value's bytes.
    pub fn value_of(self, key: u16) -> Vec<u8> {
        let mut value = self.id.to_le_bytes().to_vec();
        value.truncate(self.len as usize);
        fill(&mut value, self.len as usize, &[u64::from(key), u64::from(self.id), u64::from(self.len)]);
        value
    }

    /// Which value of the key these bytes are; `None` when none of them is this.
    pub fn recognise(key: u16, value: &[u8]) -> Option<Self> {
        let byte = |at: usize| value.get(at).copied().unwrap_or(0);
        let len = u32::try_from(value.len()).ok().filter(|&len| len <= LONGEST_VALUE)?;
        let stamp = Stamp::new(u16::from_le_bytes([byte(0), byte(1)]), len);
        (stamp.value_of(key) == value).then_some(stamp)
    }
}

/// The key with this number: 0 is the empty key, some are so long that their records are large ones.
pub fn key(n: u16) -> Vec<u8> {
    let len = match n {
        0 => return Vec::new(),
        _ if n % 61 == 7 => 256 + usize::from(n % 9),
        _ => 2 + usize::from(n % 19),
    };
    let mut key = n.to_le_bytes().to_vec();
    fill(&mut key, len, &[u64::from(n)]);
    key
}

/// The number of a key.
pub fn recognise_key(bytes: &[u8]) -> Option<u16> {
    let n = match bytes {
        [] => 0,
        [low, high, ..] => u16::from_le_bytes([*low, *high]),
        _ => return None,
    };
    (key(n) == bytes).then_some(n)
}

/// Makes `bytes` `len` long with bytes that follow from `seeds`.
fn fill(bytes: &mut Vec<u8>, len: usize, seeds: &[u64]) {
    let mut state = seeds.iter().fold(0, |state, &seed| mix(state ^ seed));
    while bytes.len() < len {
        state = mix(state);
        bytes.extend_from_slice(&state.to_le_bytes()[..(len - bytes.len()).min(8)]);
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_recognised_and_others_are_not() {
        for n in 0..KEYS {
            assert_eq!(recognise_key(&key(n)), Some(n));
            for len in [0, 1, 2, 9, 300] {
                let stamp = Stamp::new(n * 7, len);
                let mut value = stamp.value_of(n);
                assert_eq!(Stamp::recognise(n, &value), Some(stamp));
                if len > 4 {
                    assert_eq!(Stamp::recognise(n + 1, &value), None);
                    value[4] ^= 1;
                    assert_eq!(Stamp::recognise(n, &value), None);
                }
            }
        }
    }
}
