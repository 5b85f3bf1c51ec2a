//! The inline layout: cells of several words, which readers copy under a counter (C8).
//!
//! Keys have 8 bytes and so have elems, or 16 in a *wide* one, whose words say the same. Where a reader may wait for the
//! counter it is the only one: of two that wait in turns loom finds no end.

use super::rig::Reader;
use super::table::{TWIN, beside, evacuate, evacuate_walk, holds, publish, reinsert, replace, twin};
use super::{Model, at_length, bounded, exhaustive};
use crate::entries::InlineEntries;

pub(super) const MODELS: &[Model] = &[
    exhaustive("inline-publish", publish::<Narrow>),
    exhaustive("inline-replace", replace::<Narrow>),
    exhaustive("inline-replace-wide", replace_wide),
    bounded("inline-reinsert", 3, 4, reinsert::<Wide>),
    at_length("inline-twin", 3, twin::<Narrow>),
    at_length("inline-reuse", 3, reuse),
    at_length("inline-reuse-walk", 3, reuse_walk),
    bounded("inline-evacuate", 2, 3, evacuate::<Narrow>),
    bounded("inline-evacuate-walk", 2, 3, evacuate_walk::<Narrow>),
];

type Narrow = InlineEntries<1>;
type Wide = InlineEntries<2>;

/// An elem of two words is replaced; no reader takes one of the old and one of the new.
fn replace_wide() {
    let read = |r: &Reader<Wide>| {
        let (first, second) = (r.get(0), r.get(0));
        assert!(Some(1) <= first && first <= second, "{second:?} after {first:?}");
    };
    beside(holds(&[(0, 1)]), [read], |rig| rig.put(0, 2));
}

/// A key goes, and another comes into its cell: who looks for the first does not get the value of the second.
fn reuse() {
    let old = |r: &Reader<Narrow>| {
        let (first, second) = (r.get(0), r.get(0));
        assert!(
            matches!((first, second), (Some(1) | None, None) | (Some(1), Some(1))),
            "{first:?}, {second:?}"
        );
    };
    beside(holds(&[(0, 1)]), [old], |rig| {
        rig.remove(0);
        rig.put(2, 2);
    });
}

/// The same under an iteration, which yields one of the two or neither, each with its own value.
fn reuse_walk() {
    let walk = |r: &Reader<Narrow>| {
        let walked = r.walk();
        assert!(matches!(walked[..], [] | [(0, 1)] | [(TWIN, 2)]), "{walked:?}");
    };
    beside(holds(&[(0, 1)]), [walk], |rig| {
        rig.remove(0);
        rig.put(TWIN, 2);
    });
}
