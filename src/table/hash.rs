//! The table's hash functions: keyed per file and stable for ever.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use siphasher::sip::SipHasher13;

use crate::format::bucket::Hash;

/// Which function hashes the keys of a file; chosen when the file is made, kept in its header.
///
/// ```
/// use tophash::HashKind;
///
/// assert_eq!(HashKind::default().name(), "siphash-1-3");
/// assert_eq!(HashKind::from_id(2), Some(HashKind::Rapid));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum HashKind {
    /// SipHash-1-3 with a random 128-bit key (Aumasson and Bernstein 2012). Whoever does not know the key can't
    /// choose keys that collide: the right choice when keys come from strangers.
    #[default]
    Sip13,
    /// rapidhash v3 with a random seed: faster for long keys, no defence against chosen keys.
    Rapid,
    /// For tests alone: eight hashes for all keys, so that everything collides.
    #[doc(hidden)]
    Colliding,
}

impl HashKind {
    /// Its number in the header.
    pub fn id(self) -> u8 {
        match self {
            HashKind::Sip13 => 1,
            HashKind::Rapid => 2,
            HashKind::Colliding => 255,
        }
    }

    /// The kind with this number.
    pub fn from_id(id: u8) -> Option<Self> {
        [HashKind::Sip13, HashKind::Rapid, HashKind::Colliding].into_iter().find(|kind| kind.id() == id)
    }

    /// Its name, as reports print it.
    pub fn name(self) -> &'static str {
        match self {
            HashKind::Sip13 => "siphash-1-3",
            HashKind::Rapid => "rapidhash-v3",
            HashKind::Colliding => "colliding",
        }
    }
}

/// A hash function with a file's key (Go's `hash0`).
pub enum KeyHasher {
    /// SipHash-1-3.
    Sip13(SipHasher13),
    /// rapidhash v3.
    Rapid(Box<RapidSecrets>),
    /// Eight hashes for all keys.
    Colliding(SipHasher13),
}

impl KeyHasher {
    /// The function of a file.
    pub fn new(kind: HashKind, hash0: &[u8; 16]) -> Self {
        match kind {
            HashKind::Sip13 => KeyHasher::Sip13(SipHasher13::new_with_key(hash0)),
            HashKind::Rapid => {
                let seed = u64::from_le_bytes(std::array::from_fn(|i| hash0[i]));
                KeyHasher::Rapid(Box::new(RapidSecrets::seed(seed)))
            }
            HashKind::Colliding => KeyHasher::Colliding(SipHasher13::new_with_key(hash0)),
        }
    }

    /// The hash of a key. Linear in its length.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> Hash {
        Hash(match self {
            KeyHasher::Sip13(hasher) => hasher.hash(key),
            KeyHasher::Rapid(secrets) => rapidhash_v3_inline::<true, false, false>(key, secrets),
            KeyHasher::Colliding(hasher) => hasher.hash(key) & 0x0400_0000_0000_0003,
        })
    }
}
