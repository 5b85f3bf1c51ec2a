//! Finding the log without a header, a catalog or a table.
//!
//! Whatever says that a log segment begins somewhere makes a candidate: a head at a multiple of 64 KiB, an entry of a
//! catalog, a link in another head. Each stands for one *life* of that space, and the salt of its epoch and sequence
//! number tells its records from those of any other. Which lives make up the log then follows from the newest one: each
//! head names its predecessor and where that one ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::error::Result;
use crate::format::catalog::Catalog;
use crate::format::header::{HEADER_BYTES, Header, SLOT_OFFSETS, SlotFault};
use crate::format::segment::{FIRST_RECORD, HEAD_BYTES, Link, SEGMENT_UNIT_BYTES, SegmentHead};
use crate::upkeep::scan::LogBytes;

use super::report::Damage;
use super::source::Source;

/// One life of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) offset: u64,
    /// File offset behind its last byte, as far as that is known.
    pub(super) limit: u64,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// File offset at which its records end, if something says so.
    pub(super) end: Option<u64>,
    /// A catalog lists it.
    listed: bool,
    /// Offset of the segment before it, 0 for the first of a file; and where that one ends.
    predecessor: Option<u64>,
    predecessor_end: Option<u64>,
    /// Log is missing between this life and the one after it: lost, or given up because nothing in it was live. Removals
    /// were in it perhaps.
    pub(super) gap_behind: bool,
}

impl Life {
    /// Lives from old to new.
    fn age(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    /// What tells it from every other.
    fn place(&self) -> (u64, u64, u64) {
        (self.offset, self.epoch, self.sequence)
    }
}

/// What the header slots and the catalog still tell.
#[derive(Default)]
pub(super) struct Guide {
    pub(super) header: Option<Header>,
    pub(super) catalog: Option<Catalog>,
}

impl Guide {
    /// Reads the slots, newest first, and the first catalog that is whole. A slot of a newer format is an error: what
    /// the rest of the file means is not known here.
    pub(super) fn read(source: &mut Source, damage: &mut Vec<Damage>) -> Result<Guide> {
        let mut headers = Vec::new();
        for offset in SLOT_OFFSETS {
            let slot = source.bytes(offset, HEADER_BYTES).and_then(|bytes| bytes.try_into().ok());
            match slot.map(Header::decode) {
                Some(Ok(header)) => headers.push(header),
                Some(Err(SlotFault::Version(error))) => return Err(error),
                Some(Err(_)) | None => damage.push(Damage::new("header slot", offset, HEADER_BYTES as u64)),
            }
        }
        headers.sort_by_key(|header| std::cmp::Reverse(header.sequence));
        let mut guide = Guide { header: headers.first().copied(), catalog: None };
        for header in &headers {
            guide.catalog = catalog(source, header);
            if guide.catalog.is_some() {
                guide.header = Some(*header);
                break;
            }
            let (offset, len) = (header.catalog.offset, header.catalog.len);
            let lost = Damage::new("catalog", offset, len);
            if !damage.contains(&lost) {
                damage.push(lost);
            }
        }
        Ok(guide)
    }
}

fn catalog(source: &mut Source, header: &Header) -> Option<Catalog> {
    let length = source.length();
    let pointer = header.catalog;
    let bytes = source.bytes(pointer.offset, usize::try_from(pointer.len).ok()?)?;
    if crc32fast::hash(bytes) != pointer.crc {
        return None;
    }
    Catalog::decode(bytes, pointer.offset, length.max(header.file_bytes)).ok()
}

/// Every head in the file; reads all of it once, so that pages which can't be read are known.
pub(super) struct Heads {
    found: Vec<(u64, [u8; 16], SegmentHead)>,
}

impl Heads {
    pub(super) fn find(source: &mut Source, mut progress: impl FnMut(u64)) -> Heads {
        let mut found = Vec::new();
        for offset in (0..source.length()).step_by(SEGMENT_UNIT_BYTES as usize) {
            let rest = (source.length() - offset).min(SEGMENT_UNIT_BYTES) as usize;
            if let Some(unit) = source.bytes(offset, rest) {
                let head = &unit[..rest.min(HEAD_BYTES)];
                found.extend(SegmentHead::copies_of_any(head).map(|(file, head)| (offset, file, head)));
            }
            progress(rest as u64);
        }
        found.dedup();
        Heads { found }
    }

    /// The file that most heads say they are of.
    pub(super) fn file_id(&self) -> Option<[u8; 16]> {
        let mut votes: HashMap<[u8; 16], usize> = HashMap::new();
        self.found.iter().for_each(|(_, file, _)| *votes.entry(*file).or_default() += 1);
        votes.into_iter().max_by_key(|&(_, votes)| votes).map(|(file, _)| file)
    }

    /// Every life that heads, catalog and links tell of.
    pub(super) fn lives(&self, source: &mut Source, file_id: &[u8; 16], guide: &Guide) -> Vec<Life> {
        let mut lives: BTreeMap<(u64, u64, u64), Life> = BTreeMap::new();
        for &(offset, file, head) in &self.found {
            if file == *file_id && offset >= SEGMENT_UNIT_BYTES {
                let life = Life::of_head(offset, &head);
                lives.insert(life.place(), life);
            }
        }
        for extent in guide.catalog.iter().flat_map(|catalog| &catalog.segments) {
            let life = Life {
                limit: extent.offset + extent.bytes,
                listed: true,
                ..Life::nameless(extent.offset, extent.sequence, extent.epoch)
            };
            let life = lives.entry(life.place()).or_insert(life);
            life.listed = true;
            let is_last = guide.header.is_some_and(|header| header.log.segment == extent.offset);
            life.end = (!is_last).then_some(extent.end);
        }
        let mut to_follow: Vec<_> = lives.values().copied().collect();
        while let Some(from) = to_follow.pop() {
            let mut next = source.bytes(from.offset, HEAD_BYTES).and_then(|h| Link::decode(h, file_id));
            next = next.filter(|link| {
                let aligned = link.next >= SEGMENT_UNIT_BYTES && link.next.is_multiple_of(SEGMENT_UNIT_BYTES);
                aligned && (link.epoch, link.sequence) > from.age()
            });
            let Some(link) = next else { continue };
            let life = Life {
                predecessor: Some(from.offset),
                ..Life::nameless(link.next, link.sequence, link.epoch)
            };
            if let Entry::Vacant(vacant) = lives.entry(life.place()) {
                vacant.insert(life);
                to_follow.push(life);
            }
        }
        lives.into_values().collect()
    }
}

impl Life {
    fn of_head(offset: u64, head: &SegmentHead) -> Life {
        Life {
            limit: offset.saturating_add(head.bytes),
            predecessor: Some(head.predecessor),
            predecessor_end: Some(head.predecessor_end),
            ..Life::nameless(offset, head.sequence, head.epoch)
        }
    }

    /// A life whose head is lost.
    fn nameless(offset: u64, sequence: u64, epoch: u64) -> Life {
        Life {
            offset,
            limit: u64::MAX,
            epoch,
            sequence,
            end: None,
            listed: false,
            predecessor: None,
            predecessor_end: None,
            gap_behind: false,
        }
    }

    /// One of a segment of the open store, which knows where it ends, and the one `newer` than it.
    pub(super) fn of_open(offset: u64, head: &SegmentHead, end: u64, newer: Option<&Life>) -> Life {
        let gap_behind = newer.is_some_and(|newer| newer.predecessor != Some(offset));
        Life { end: Some(end), gap_behind, ..Life::of_head(offset, head) }
    }
}

/// The lives that make up the log, newest first, none overlapping another; what is missing among them goes to `damage`.
/// With `all`, every life that no newer one took the place of.
pub(super) fn log(
    mut lives: Vec<Life>,
    guide: &Guide,
    all: bool,
    damage: &mut Vec<Damage>,
) -> (Vec<Life>, bool) {
    let listed_up_to = guide.catalog.iter().flat_map(|c| &c.segments).map(|s| s.sequence).max();
    if !all {
        // The catalog was written when it listed all of the log.
        lives.retain(|life| life.listed || listed_up_to.is_none_or(|last| life.sequence > last));
    }
    lives.sort_by_key(|life| std::cmp::Reverse(life.age()));
    let places: BTreeMap<_, _> = lives.iter().map(|life| (life.place(), *life)).collect();
    let mut log = Taken::default();
    let mut complete = true;
    // The newest life that was taken, and so the one whose predecessor comes next.
    let mut newer: Option<Life> = None;
    for mut life in lives {
        if log.overlaps(&life) {
            continue;
        }
        if let Some(newer) = newer.filter(|_| !all) {
            let predecessor = newer.predecessor.filter(|&offset| offset != 0);
            let named = predecessor.and_then(|offset| {
                let older = (offset, 0, 0)..(offset, newer.epoch, newer.sequence);
                places.range(older).next_back().map(|(_, life)| *life).filter(|life| !log.overlaps(life))
            });
            let begins_with_newer = newer.predecessor == Some(0);
            if named.is_some_and(|named| named.place() == life.place()) {
                let fits = |end: &u64| (life.offset + FIRST_RECORD..=life.limit).contains(end);
                life.end = newer.predecessor_end.filter(fits).or(life.end);
            } else if (named.is_some() || begins_with_newer) && !life.listed {
                continue;
            } else {
                life.gap_behind = true;
                // Behind what a catalog lists, all that it does not list was given up.
                if named.is_none() && !newer.listed {
                    damage.push(Damage::new("missing log segment", predecessor.unwrap_or(0), 0));
                    complete = false;
                }
            }
        }
        newer = Some(life);
        log.take(life);
    }
    if let Some(oldest) = newer
        && !oldest.listed
        && oldest.predecessor != Some(0)
    {
        damage.push(Damage::new("missing log segment", oldest.predecessor.unwrap_or(0), 0));
        complete = false;
    }
    (log.bounded(), complete)
}

/// Lives that were taken so far, in this order and by place.
#[derive(Default)]
struct Taken {
    lives: Vec<Life>,
    by_offset: BTreeMap<u64, u64>,
}

impl Taken {
    /// Whether the space of a life, which is older, went to one of these.
    fn overlaps(&self, life: &Life) -> bool {
        // One that only a link tells of ends where the next begins.
        let one_unit = life.offset.saturating_add(SEGMENT_UNIT_BYTES);
        let limit = if life.limit == u64::MAX { one_unit } else { life.limit };
        self.by_offset.range(..limit).next_back().is_some_and(|(_, &end)| end > life.offset)
    }

    fn take(&mut self, life: Life) {
        let known_end = if life.limit == u64::MAX { life.end.unwrap_or(0) } else { life.limit };
        let end = known_end.max(life.offset.saturating_add(SEGMENT_UNIT_BYTES));
        self.by_offset.insert(life.offset, end);
        self.lives.push(life);
    }

    /// The lives; one whose size is not known ends where the next one in the file begins.
    fn bounded(self) -> Vec<Life> {
        let Taken { mut lives, by_offset } = self;
        for life in lives.iter_mut().filter(|life| life.limit == u64::MAX) {
            let next = by_offset.range(life.offset + 1..).next();
            life.limit = next.map_or(u64::MAX, |(&offset, _)| offset);
        }
        lives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of two lives: one whose head is lost, and the newer one that names it and where it ends.
    fn after_a_nameless_one(offset: u64, predecessor_end: u64) -> Vec<Life> {
        let newer = Life {
            limit: 5 * SEGMENT_UNIT_BYTES,
            predecessor: Some(offset),
            predecessor_end: Some(predecessor_end),
            ..Life::nameless(4 * SEGMENT_UNIT_BYTES, 2, 1)
        };
        let older = Life { predecessor: Some(0), ..Life::nameless(offset, 1, 1) };
        log(vec![older, newer], &Guide::default(), false, &mut Vec::new()).0
    }

    #[test]
    fn a_life_whose_head_is_lost_ends_where_the_next_one_in_the_file_begins() {
        let end = 3 * SEGMENT_UNIT_BYTES;
        let log = after_a_nameless_one(SEGMENT_UNIT_BYTES, end);
        assert_eq!((log[1].limit, log[1].end), (4 * SEGMENT_UNIT_BYTES, Some(end)));
    }

    #[test]
    fn a_life_at_the_end_of_all_offsets_is_one_like_others() {
        let offset = u64::MAX - SEGMENT_UNIT_BYTES + 1;
        assert_eq!(after_a_nameless_one(offset, 0)[1].offset, offset);
    }
}
