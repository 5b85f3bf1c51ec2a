//! Reading the whole log from its beginning to its end, for stores that are larger than memory.
//!
//! An iteration in the order of the table reads a record here and a record there; where the file is larger than memory,
//! each is a read of the disk. A scan walks the log as it lies and asks the table about each record: an entry counts where
//! its cell points at this very record. So the records are read once and in order, and only the table is read at random,
//! for which it asks ahead.
//!
//! The scan ends where the log ended when it began. Beside a writer:
//!
//! * The newest record of an entry that nobody writes lies before that end, its cell points there, and no other record
//!   of it counts.
//! * An entry that has been rewritten or moved since has a cell that points behind the end. It is yielded as it is now, in place of
//!   the first older record that the scan comes to; its key is remembered, so that no other one yields it again.
//! * What no cell points at is an old version, or was removed.

use std::collections::{HashSet, VecDeque};
use std::hash::Hasher;
use std::iter::FusedIterator;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::file::epoch::Pin;
use crate::file::log::RecordRef;
use crate::file::log::chain::Mark;
use crate::file::log::segment::Segment;
use crate::format::bucket::{Hash, Position};
use crate::format::segment::FIRST_RECORD;
use crate::seam::Records as _;
use crate::store::core::Core;
use crate::store::value::Value;
use crate::table::{in_record, lookup, peek, prefetch};
use crate::upkeep::scan::{Found, Scan as SegmentScan};

/// Records that are read before the first of them is looked up.
const GROUP: usize = 16;

/// Every entry in the order of the log; see [`Store::scan`](crate::Store::scan).
///
/// An error is yielded once, and the scan goes on behind it.
pub struct Scan<'s> {
    core: &'s Core,
    state: State<'s>,
}

enum State<'s> {
    /// The walk goes before the pin: what it holds on to is not a reader's to free (C14).
    Walking(Box<LogWalk<'s>>, Pin<'s>),
    /// The handle belongs to another process, or a closure of the store holds the lock.
    Failed(Error),
    Ended,
}

struct LogWalk<'s> {
    clears: u64,
    /// Where the log ended when the scan began.
    end: Mark,
    /// Those behind the current one.
    segments: std::vec::IntoIter<Arc<Segment>>,
    current: Option<(Arc<Segment>, SegmentScan<Arc<Segment>>)>,
    /// Records that were read, and not looked up yet.
    ready: VecDeque<Result<Candidate<'s>>>,
    /// Keys that were yielded with a record from behind the end.
    rewritten: HashSet<Key<'s>>,
}

/// A put of the log.
struct Candidate<'s> {
    position: Position,
    hash: Hash,
    key: Value<'s>,
    /// That of a large record may be damaged by itself.
    value: Result<Value<'s>>,
}

/// What the table has for a candidate's key.
enum Newest<'p> {
    /// The candidate.
    Itself,
    /// A record from behind the end of the scan.
    Rewritten(RecordRef<'p>),
}

struct Key<'s>(Value<'s>);

impl<'s> Scan<'s> {
    pub(super) fn new(core: &'s Core) -> Self {
        let begun = core.pin().and_then(|pin| Ok((LogWalk::new(core, &pin)?, pin)));
        let state = match begun {
            Ok((walk, pin)) => State::Walking(Box::new(walk), pin),
            Err(error) => State::Failed(error),
        };
        Scan { core, state }
    }
}

impl<'s> Iterator for Scan<'s> {
    type Item = Result<(Value<'s>, Value<'s>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let State::Walking(walk, pin) = &mut self.state
            && let Some(entry) = walk.next(self.core, pin)
        {
            return Some(entry);
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Failed(error) => Some(Err(error)),
            _ => None,
        }
    }
}

impl FusedIterator for Scan<'_> {}

impl<'s> LogWalk<'s> {
    fn new(core: &Core, pin: &Pin<'s>) -> Result<Self> {
        // A record is published before the table points at it: only between two writes do both say the same.
        let _between_writes = core.lock_writer_to_look()?;
        let segments = core.log.segments(pin);
        let end = segments.last().map_or(Mark { sequence: 0, end: 0 }, |last| Mark {
            sequence: last.head().sequence,
            end: last.published_end(),
        });
        Ok(LogWalk {
            clears: core.published(pin).clears,
            end,
            segments: segments.into_iter(),
            current: None,
            ready: VecDeque::with_capacity(GROUP),
            rewritten: HashSet::new(),
        })
    }

    fn next(&mut self, core: &'s Core, pin: &Pin<'s>) -> Option<Result<(Value<'s>, Value<'s>)>> {
        while core.published(pin).clears == self.clears {
            if self.ready.is_empty() {
                self.read_ahead(core, pin);
            }
            let entry = match self.ready.pop_front()? {
                Ok(candidate) => self.entry(core, pin, candidate),
                Err(error) => Err(error),
            };
            if let Some(entry) = entry.transpose() {
                return Some(entry);
            }
        }
        None
    }

    /// The entry of a candidate, if it is the one to yield it.
    fn entry(
        &mut self,
        core: &'s Core,
        pin: &Pin<'s>,
        candidate: Candidate<'s>,
    ) -> Result<Option<(Value<'s>, Value<'s>)>> {
        let Candidate { key, value, .. } = match self.newest(core, pin, &candidate)? {
            None => return Ok(None),
            Some(Newest::Itself) => candidate,
            Some(Newest::Rewritten(record)) => {
                if !self.rewritten.insert(Key(candidate.key)) {
                    return Ok(None);
                }
                record.verify()?;
                return Ok(Some((Value::keep(pin, record.key()), Value::keep(pin, record.value()?))));
            }
        };
        Ok(Some((key, value?)))
    }

    fn newest<'p>(
        &self,
        core: &'p Core,
        pin: &'p Pin<'s>,
        candidate: &Candidate<'s>,
    ) -> Result<Option<Newest<'p>>> {
        let (hash, itself) = (candidate.hash, candidate.position);
        // Other records before the end need not be read: the key's, which will be a candidate, or another key's.
        let quick = peek(core.published(pin), hash, |slot| match slot.position_for(hash) {
            None => Some(None),
            Some(position) if position == itself => Some(Some(())),
            Some(position) => (!self.is_behind_end(core, pin, position)).then_some(None),
        });
        if let Some(decided) = quick {
            return Ok(decided.map(|()| Newest::Itself));
        }
        let records = core.records(pin);
        let newest = |position| match position {
            _ if position == itself => Ok(Some(Newest::Itself)),
            _ if !self.is_behind_end(core, pin, position) => Ok(None),
            _ => Ok(records.matching(position, &candidate.key)?.map(Newest::Rewritten)),
        };
        lookup(|| core.published(pin), hash, |slot| in_record(slot, hash, newest))
    }

    /// Whether a record was written after the scan began.
    fn is_behind_end(&self, core: &Core, pin: &Pin<'_>, position: Position) -> bool {
        let sequence = core.log.sequence_at(pin, position);
        // A position where no segment is means damage, and reading the record there says so.
        sequence.is_none_or(|sequence| Mark { sequence, end: position.offset() } >= self.end)
    }

    /// Reads the next records, and has the processor fetch the buckets of their keys.
    fn read_ahead(&mut self, core: &Core, pin: &Pin<'s>) {
        let geometry = core.published(pin);
        while self.ready.len() < GROUP {
            let Some((segment, scan)) = &mut self.current else {
                let Some(segment) = self.segments.next() else { return };
                self.current = Some(self.begin(segment));
                continue;
            };
            match scan.next() {
                Some(Found::Record { offset, frame, value_whole }) if frame.kind.is_entry() => {
                    let candidate = Candidate::read(core, pin, segment, offset, value_whole);
                    if let Ok(candidate) = &candidate {
                        prefetch(geometry, candidate.hash);
                    }
                    self.ready.push_back(candidate);
                }
                Some(Found::Record { .. }) => {}
                Some(Found::Damage { offset, .. }) => {
                    let error = Error::corrupt("log", offset, "a record", "bytes that are none");
                    self.ready.push_back(Err(error));
                }
                None => self.current = None,
            }
        }
    }

    fn begin(&self, segment: Arc<Segment>) -> (Arc<Segment>, SegmentScan<Arc<Segment>>) {
        let here = segment.head().sequence == self.end.sequence;
        let end = if here { self.end.end } else { segment.published_end() };
        let from = segment.offset() + FIRST_RECORD;
        let scan = SegmentScan::new(Arc::clone(&segment), segment.salt(), from, end, true);
        (segment, scan)
    }
}

impl<'s> Candidate<'s> {
    /// The put at a file offset, whose checksums were compared.
    fn read(
        core: &Core,
        pin: &Pin<'s>,
        segment: &Segment,
        offset: u64,
        value_whole: bool,
    ) -> Result<Candidate<'s>> {
        let record = segment.record(offset)?;
        let no_position = || Error::corrupt("log", offset, "an offset below 8 TiB", offset);
        let position = Position::from_offset(offset).ok_or_else(no_position)?;
        let key = record.key();
        Ok(Candidate {
            position,
            hash: core.hasher.hash(key.as_slice()),
            key: Value::keep(pin, key),
            value: if value_whole { Ok(record.verified_value()) } else { record.value() }
                .map(|value| Value::keep(pin, value)),
        })
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for Key<'_> {}

impl std::hash::Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash(state);
    }
}
