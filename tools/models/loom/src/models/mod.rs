//! The models. Each is one small program for three threads, and what must hold in every execution of it.

mod commit;
mod inline;
mod pages;
mod reclaim;
mod rig;
mod table;

/// One model. A *bound* says how often a thread may be interrupted while it could go on; without one, every execution
/// that there is.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    /// The bound of the short run.
    pub(crate) short: Option<usize>,
    /// The bound of the long run.
    pub(crate) long: Option<usize>,
}

pub(crate) fn all() -> impl Iterator<Item = Model> {
    [table::MODELS, inline::MODELS, pages::MODELS, reclaim::MODELS, commit::MODELS]
        .into_iter()
        .flatten()
        .copied()
}

/// Exhaustive in every run.
const fn exhaustive(name: &'static str, run: fn()) -> Model {
    Model { name, run, short: None, long: None }
}

/// Exhaustive in the long run.
const fn at_length(name: &'static str, short: usize, run: fn()) -> Model {
    Model { name, run, short: Some(short), long: None }
}

/// Too large ever to be exhaustive.
const fn bounded(name: &'static str, short: usize, long: usize, run: fn()) -> Model {
    Model { name, run, short: Some(short), long: Some(long) }
}
