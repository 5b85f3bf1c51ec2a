//! Headers survive the round trip, damage is noticed, and the right slot counts.

use super::*;

/// Every bit; under miri, which is slow, some at each place of a byte.
const BITS_APART: usize = if cfg!(miri) { 37 } else { 1 };

fn sample(sequence: u64) -> Header {
    Header {
        identity: Identity {
            file_id: [1; 16],
            hash_id: 1,
            hash0: [2; 16],
            log_secret: [3; 16],
            load_factor: 650,
            schema: Schema::BYTES,
        },
        sequence,
        epoch: 7,
        writing: true,
        hmap: Hmap {
            count: 9,
            same_size_grow: false,
            shrinking: true,
            b: 4,
            noverflow: 3,
            buckets: 4096 * 3,
            oldbuckets: 4096 * 5,
            nevacuate: 11,
            overflow: 2,
            oldoverflow: 1,
            next_overflow: 17,
            old_next_overflow: 18,
            clears: 1,
        },
        log: LogPosition { segment: 65536, end: 65536 + 1536 },
        catalog: Pointer { offset: 8192, len: 100, crc: 5 },
        journal: Pointer { offset: 4096 * 9, len: 2, crc: 6 },
        file_bytes: 1 << 17,
        checkpoint_seq: 4,
    }
}

#[test]
fn a_header_survives_the_round_trip() {
    let header = sample(3);
    assert_eq!(Header::decode(&header.encode()).unwrap(), header);
}

#[test]
fn a_growth_is_of_one_kind() {
    let mut header = sample(3);
    header.hmap.same_size_grow = true;
    assert!(matches!(Header::decode(&header.encode()), Err(SlotFault::Field("flags", 0b111))));
    header.hmap.shrinking = false;
    assert_eq!(Header::decode(&header.encode()).unwrap(), header);
}

#[test]
fn a_schema_survives_the_round_trip() {
    let mut header = sample(3);
    let (key, value) = (DataType::fixed("u64", 8).unwrap(), DataType::fixed("point", 128).unwrap());
    header.identity.schema = Schema::new(key, value);
    assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    for (key_width, elem_width) in [(0, 8), (129, 8), (8, 129)] {
        header.identity.schema.layout = Layout::Inline { key_width, elem_width };
        assert!(matches!(Header::decode(&header.encode()), Err(SlotFault::Field(..))));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = sample(3).encode();
    for bit in (0..HEADER_BYTES * 8).step_by(BITS_APART) {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::decode(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn the_higher_sequence_counts_unless_it_is_damaged() {
    let (old, new) = (sample(3).encode(), sample(4).encode());
    let mut torn = new;
    torn[200] ^= 1;
    assert_eq!(choose([&old, &new]).unwrap().header.sequence, 4);
    assert_eq!(choose([&new, &old]).unwrap().slot, 0);
    let fallback = choose([&old, &torn]).unwrap();
    assert_eq!((fallback.header.sequence, fallback.both_valid), (3, false));
    assert!(matches!(choose([&torn, &torn]), Err(SlotFault::Checksum { .. })));
}

#[test]
fn a_newer_format_is_refused_whatever_the_other_slot_says() {
    let mut newer = sample(4).encode();
    newer[16] = 1; // an incompatible feature
    let crc = crc32fast::hash(&newer[..CRC_AT]);
    newer[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    let chosen = choose([&sample(3).encode(), &newer]);
    assert!(matches!(chosen, Err(SlotFault::Version(Error::Version { incompatible: 1, .. }))));
}
