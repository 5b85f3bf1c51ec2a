//! From a file offset to the segment around it, in two loads.
//!
//! Segments begin and end at multiples of 64 KiB, so a table with an entry for every 64 KiB of the file answers
//! without a search. A directory is immutable; adding a segment makes a new one that shares every leaf (1 GiB of
//! the file) that did not change.

use std::ops::Range;
use std::sync::Arc;

use crate::file::log::segment::Segment;
use crate::format::segment::SEGMENT_UNIT_BYTES;

/// 64 KiB units in a leaf.
const LEAF_UNITS: usize = 1 << 14;
/// No segment here.
const NONE: u32 = 0;

type Leaf = [u32; LEAF_UNITS];

#[derive(Clone, Default)]
pub(crate) struct Directory {
    /// By file offset; entries are 1 + an index of `segments`.
    leaves: Vec<Option<Arc<Leaf>>>,
    segments: Vec<Option<Arc<Segment>>>,
}

impl Directory {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        segments.into_iter().fold(Directory::default(), |mut directory, segment| {
            directory.insert(segment);
            directory
        })
    }

    /// The segment around a file offset.
    #[inline]
    pub(crate) fn find(&self, offset: u64) -> Option<&Segment> {
        let unit = (offset / SEGMENT_UNIT_BYTES) as usize;
        let leaf = self.leaves.get(unit / LEAF_UNITS)?.as_ref()?;
        let index = (leaf[unit % LEAF_UNITS] as usize).checked_sub(1)?;
        self.segments.get(index)?.as_deref()
    }

    /// The same and one segment more.
    pub(crate) fn with(&self, segment: Arc<Segment>) -> Self {
        let mut directory = self.clone();
        directory.insert(segment);
        directory
    }

    /// The same without some of its segments.
    pub(crate) fn without(&self, segments: &[Arc<Segment>]) -> Self {
        let mut directory = self.clone();
        segments.iter().for_each(|segment| directory.remove(segment));
        directory
    }

    /// Every segment, in no order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().flatten()
    }

    /// Every segment, by sequence number.
    pub(crate) fn in_log_order(&self) -> Vec<Arc<Segment>> {
        let mut segments: Vec<_> = self.segments().cloned().collect();
        segments.sort_by_key(|segment| segment.head().sequence);
        segments
    }

    fn insert(&mut self, segment: Arc<Segment>) {
        let units = units(&segment);
        let slot = self.segments.iter().position(Option::is_none).unwrap_or(self.segments.len());
        self.segments.resize(self.segments.len().max(slot + 1), None);
        self.segments[slot] = Some(segment);
        self.point_at(units, slot as u32 + 1);
    }

    fn remove(&mut self, segment: &Arc<Segment>) {
        let is_it =
            |other: &Option<Arc<Segment>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, segment));
        if let Some(slot) = self.segments.iter().position(is_it) {
            self.segments[slot] = None;
            self.point_at(units(segment), NONE);
        }
    }

    fn point_at(&mut self, units: Range<u64>, entry: u32) {
        for unit in units {
            let (leaf, unit) = (unit as usize / LEAF_UNITS, unit as usize % LEAF_UNITS);
            if self.leaves.len() <= leaf {
                self.leaves.resize(leaf + 1, None);
            }
            let leaf = self.leaves[leaf].get_or_insert_with(|| Arc::new([NONE; LEAF_UNITS]));
            Arc::make_mut(leaf)[unit] = entry;
        }
    }
}

/// The 64 KiB units of the file that a segment takes.
fn units(segment: &Segment) -> Range<u64> {
    segment.offset() / SEGMENT_UNIT_BYTES..segment.end_offset().div_ceil(SEGMENT_UNIT_BYTES)
}
