//! The models. Each is one small program for three threads, and what must hold in every execution of it.

mod commit;
mod pages;
mod reclaim;
mod rig;
mod table;

/// One model.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    /// At most this many times a thread is interrupted while it could go on; `None` for all executions there are.
    pub(crate) preemptions: Option<usize>,
}

pub(crate) fn all() -> Vec<Model> {
    [table::MODELS, pages::MODELS, reclaim::MODELS, commit::MODELS].into_iter().flatten().map(|m| Model { ..*m }).collect()
}

const fn exhaustive(name: &'static str, run: fn()) -> Model {
    Model { name, run, preemptions: None }
}

const fn bounded(name: &'static str, preemptions: usize, run: fn()) -> Model {
    Model { name, run, preemptions: Some(preemptions) }
}
