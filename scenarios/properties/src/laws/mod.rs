//! The laws: what must hold of every stack of layers, one file each, listed once.
//!
//! *Why*: "it behaves as a file system" is many sentences; each that fails is another bug. *Holds*: a law watches a case
//! and says what is not as it should be; it never asks which subject it is. *Never*: a law that cannot fail. *Proved by*: the
//! faults of `tests/planted.rs`, each of which some law finds and shows in few steps.

use crate::case::Moment;
use crate::generate::Weights;

mod applying_a_diff_gives_the_tree;
mod lower_layers_never_change;
mod merged_view_equals_the_model;
mod readdir_says_what_lookup_says;
mod refused_steps_change_nothing;
mod remount_changes_nothing;
mod two_threads_see_old_or_new;
mod upper_holds_exactly_what_it_must;

/// What is not as it should be, a line each.
pub type Verdict = Result<(), Vec<String>>;

/// Something that must hold.
pub trait Law: Sync {
    /// Its equation in words; the name of its file.
    fn name(&self) -> &'static str;

    /// Which steps bring it into danger.
    fn weights(&self) -> Weights {
        Weights::default()
    }

    /// Begins to watch a case.
    fn watch(&self) -> Box<dyn Watch>;
}

/// A law that watches one case.
pub trait Watch {
    /// Looks at a step that was done.
    fn after(&mut self, moment: &Moment<'_>) -> Verdict;
}

/// Every law.
pub static ALL: [&dyn Law; 8] = [
    &applying_a_diff_gives_the_tree::LAW,
    &lower_layers_never_change::LAW,
    &merged_view_equals_the_model::LAW,
    &readdir_says_what_lookup_says::LAW,
    &refused_steps_change_nothing::LAW,
    &remount_changes_nothing::LAW,
    &two_threads_see_old_or_new::LAW,
    &upper_holds_exactly_what_it_must::LAW,
];

/// `Ok` when nothing was found.
fn verdict(found: impl IntoIterator<Item = String>) -> Verdict {
    let found: Vec<String> = found.into_iter().collect();
    if found.is_empty() { Ok(()) } else { Err(found) }
}
