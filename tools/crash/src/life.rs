//! A history of operations, and what a store holds after each of them.

use std::collections::HashMap;

use tophash::report::WhichArray;
use tophash::{Batch, Result};

use crate::content::{Content, Digest, Key, Payload, mix};
use crate::subject::{Form, Subject};

/// One change of a store.
#[derive(Clone, Debug)]
pub enum Op {
    Insert(Key, Payload),
    Remove(Key),
    Clear,
    /// All of these together.
    Batch(Vec<Op>),
}

impl Op {
    pub fn apply(&self, content: &mut Content) {
        match self {
            Op::Insert(key, payload) => content.insert(key, *payload),
            Op::Remove(key) => content.remove(key),
            Op::Clear => content.clear(),
            Op::Batch(ops) => ops.iter().for_each(|op| op.apply(content)),
        }
    }

    pub fn run(&self, store: &Subject) -> Result<()> {
        match self {
            Op::Insert(key, payload) => store.insert(key, *payload).map(drop),
            Op::Remove(key) => store.remove(key).map(drop),
            Op::Clear => store.clear(),
            Op::Batch(_) => {
                let mut batch = Batch::new();
                self.add_to(&mut batch);
                store.apply(&batch)
            }
        }
    }

    fn add_to(&self, batch: &mut Batch) {
        match self {
            Op::Insert(key, payload) => _ = batch.put(key, payload.bytes()),
            Op::Remove(key) => _ = batch.remove(key),
            Op::Clear => _ = batch.clear(),
            Op::Batch(ops) => ops.iter().for_each(|op| op.add_to(batch)),
        }
    }

    /// The keys that it stores.
    fn stored(&self) -> Vec<&Key> {
        match self {
            Op::Insert(key, _) => vec![key],
            Op::Remove(_) | Op::Clear => Vec::new(),
            Op::Batch(ops) => ops.iter().flat_map(Op::stored).collect(),
        }
    }
}

/// The operations on a store from its creation on, those that a power cut took away left out.
#[derive(Clone, Default)]
pub struct Life {
    form: Form,
    ops: Vec<Op>,
    /// What the store holds after so many operations.
    digests: Vec<Digest>,
    /// What its table looks like then, where that is known.
    shapes: Vec<Option<u64>>,
    /// What it holds at the end.
    content: Content,
}

impl Life {
    /// The life of a store of this form.
    pub fn new(form: Form) -> Self {
        Life { form, digests: vec![Digest::default()], shapes: vec![None], ..Life::default() }
    }

    /// The form of the store that lives it.
    pub fn form(&self) -> Form {
        self.form
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether nothing was done yet.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    pub fn push(&mut self, op: Op) {
        op.apply(&mut self.content);
        self.digests.push(self.content.digest());
        self.shapes.push(None);
        self.ops.push(op);
    }

    /// The table looks like this after the last operation.
    pub fn set_shape(&mut self, shape: u64) {
        if let Some(last) = self.shapes.last_mut() {
            *last = Some(shape);
        }
    }

    /// The first `len` operations; others follow.
    pub fn fork(&self, len: usize) -> Life {
        Life {
            form: self.form,
            ops: self.ops[..len].to_vec(),
            digests: self.digests[..=len].to_vec(),
            shapes: self.shapes[..=len].to_vec(),
            content: self.content_after(len),
        }
    }

    /// Whether a crash in the operation behind the first `len` may leave their content in another table: a batch grows the
    /// table before it begins, and what fails after that stays grown.
    pub fn may_have_grown_after(&self, len: usize) -> bool {
        matches!(self.ops.get(len), Some(Op::Batch(_)))
    }

    /// The table is not what it was after the last operation: a batch that failed may have grown it, and a compaction ends
    /// growths.
    pub fn forget_shape(&mut self) {
        if let Some(last) = self.shapes.last_mut() {
            *last = None;
        }
    }

    /// Forgets all operations but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            *self = self.fork(len);
        }
    }

    pub fn shape_after(&self, len: usize) -> Option<u64> {
        self.shapes[len]
    }

    /// What the store holds after the first `len` operations.
    pub fn digest_after(&self, len: usize) -> Digest {
        self.digests[len]
    }

    pub fn content_after(&self, len: usize) -> Content {
        if len == self.len() {
            return self.content.clone();
        }
        let mut content = Content::default();
        self.ops[..len].iter().for_each(|op| op.apply(&mut content));
        content
    }

    /// Every key that was ever stored, and what it is after at least `least` operations; `None` is absent.
    pub fn values_since(&self, least: usize) -> HashMap<Key, Vec<Option<Payload>>> {
        let mut content = self.content_after(least);
        let stored = self.ops.iter().flat_map(Op::stored);
        let mut values: HashMap<_, _> = stored.map(|key| (key.clone(), vec![content.get(key)])).collect();
        for op in &self.ops[least..] {
            op.apply(&mut content);
            values.iter_mut().for_each(|(key, values)| values.push(content.get(key)));
        }
        values.values_mut().for_each(Vec::dedup);
        values
    }

    /// How many of the operations, at least `least` and at most `most`, lead to this content; the highest number if
    /// several do.
    pub fn find(&self, digest: Digest, least: usize, most: usize) -> Option<usize> {
        self.candidates(digest, least, most).next()
    }

    /// Every such number, the highest first: removing an absent key changes nothing, for instance.
    pub fn candidates(&self, digest: Digest, least: usize, most: usize) -> impl Iterator<Item = usize> {
        (least..=most).rev().filter(move |&len| self.digests[len] == digest)
    }
}

/// Tophashes below are states; see format.md.
const MIN_TOP_HASH: u8 = 5;

/// A number made of a table cell for cell: tophashes, keys, links, counters (D15). Where records lie does not count.
pub fn shape(store: &Subject) -> Result<u64> {
    let growth = store.growth()?;
    if growth.kind.is_some() && growth.nevacuate == 0 {
        // A growth was logged and the put behind it was not: the table before is the old array.
        return half_shape(store, WhichArray::Old).map(|half| mix(half ^ u64::MAX));
    }
    let kind = growth.kind.map_or(0, |kind| 1 + kind as u64);
    let current = half_shape(store, WhichArray::Current)?;
    if kind == 0 {
        return Ok(mix(current ^ u64::MAX));
    }
    let old = half_shape(store, WhichArray::Old)?;
    Ok([current, old, kind, growth.nevacuate].into_iter().fold(0, |state, word| mix(state ^ word)))
}

fn half_shape(store: &Subject, array: WhichArray) -> Result<u64> {
    let mut shape = 0;
    for bucket in store.buckets(array) {
        for link in bucket?.chain {
            shape = mix(shape ^ link.index);
            for cell in link.cells {
                // The record of a cell that moved may be gone, with its segment.
                let key = cell
                    .key
                    .iter()
                    .filter(|_| cell.tophash >= MIN_TOP_HASH)
                    .flatten()
                    .fold(0u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
                shape = mix(shape ^ key ^ u64::from(cell.tophash) << 56);
            }
        }
    }
    Ok(shape)
}
