//! The laws: what must hold of every stack of layers, one file each, listed once.
//!
//! *Why*: "it behaves as a file system" is many sentences; each that fails is another bug. *Holds*: a law watches a case
//! and says what is not as it should be; it never asks which subject it is. *Never*: a law that cannot fail. *Proved by*: the
//! faults of `tests/each_law.rs`, one for each law at least, which it finds alone and shows in few steps.

use layerlab_model::operation::Step;

use crate::case::Moment;
use crate::generate::Weights;
use crate::tar::Sight;

mod applying_a_diff_gives_the_tree;
mod changes_are_the_models;
mod copy_up_keeps_every_attribute;
mod deep_stacks_show_every_layer;
mod diffs_are_deterministic;
mod every_driver_gives_the_same_tree;
mod inode_numbers_are_as_promised;
mod layer_tars_are_well_formed;
mod looking_changes_nothing;
mod lower_layers_never_change;
mod merged_view_equals_the_model;
mod readdir_says_what_lookup_says;
mod refused_steps_change_nothing;
mod remount_changes_nothing;
mod the_uppers_diff_is_a_walking_diff;
mod two_threads_see_old_or_new;
mod upper_holds_exactly_what_it_must;
mod whiteouts_hide_something;

/// What a law makes of a step; else what is not as it should be, a line each.
pub type Verdict = Result<Judged, Vec<String>>;

/// What there was for a law to judge in a step that broke nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// What it is about, and that is as it should be.
    Held,
    /// Nothing: the step is none of its matters.
    NotAsked,
    /// Nothing: the subject has not what it is about, in words that go on after "it has no".
    Lacking(&'static str),
    /// Nothing: the subject has not what it is about, in such words, and says so by this promise.
    Unpromised(&'static str, &'static str),
}

/// What [`Judged::Lacking`] names.
pub(crate) const COPY_UP: &str = "copy-up";
const MOUNT: &str = "mount of its own";
const LOWER_LAYERS: &str = "layers below the one that is written to";
const TARS: &str = "diffs and tars of its layers";
pub(crate) const UPPER_LAYER: &str = "upper layer in a directory of its own";

/// Something that must hold.
pub trait Law: Sync {
    /// Its equation in words; the name of its file.
    fn name(&self) -> &'static str;

    /// Which steps bring it into danger.
    fn weights(&self) -> Weights {
        Weights::default()
    }

    /// How many layers, of one step each, the case of `seed` begins with.
    fn layers_first(&self, _seed: u64) -> usize {
        0
    }

    /// Whether it looks at the trees after a step; else nobody reads them for it, and only what the step gives is compared.
    fn looks_at(&self, _step: &Step, _is_last: bool) -> bool {
        true
    }

    /// Whether it mounts and unpacks so much that it watches only the cases that are drawn for it.
    fn takes_its_time(&self) -> bool {
        false
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
pub static ALL: [&dyn Law; 18] = [
    &applying_a_diff_gives_the_tree::LAW,
    &changes_are_the_models::LAW,
    &copy_up_keeps_every_attribute::LAW,
    &diffs_are_deterministic::LAW,
    &every_driver_gives_the_same_tree::LAW,
    &inode_numbers_are_as_promised::LAW,
    &layer_tars_are_well_formed::LAW,
    &looking_changes_nothing::LAW,
    &lower_layers_never_change::LAW,
    &merged_view_equals_the_model::LAW,
    &readdir_says_what_lookup_says::LAW,
    &refused_steps_change_nothing::LAW,
    &remount_changes_nothing::LAW,
    &the_uppers_diff_is_a_walking_diff::LAW,
    &two_threads_see_old_or_new::LAW,
    &upper_holds_exactly_what_it_must::LAW,
    &whiteouts_hide_something::LAW,
    // Last: what shows without a deep stack is another law's to tell.
    &deep_stacks_show_every_layer::LAW,
];

/// That it holds when nothing was found.
pub(crate) fn verdict(found: impl IntoIterator<Item = String>) -> Verdict {
    let found: Vec<String> = found.into_iter().collect();
    if found.is_empty() { Ok(Judged::Held) } else { Err(found) }
}

/// Why nothing is frozen after a layer was added.
fn without_tars(moment: &Moment<'_>) -> Verdict {
    Ok(if moment.has_whiteout_names { Judged::NotAsked } else { Judged::Lacking(TARS) })
}

/// How good the diffs of the subject are.
fn sight(moment: &Moment<'_>) -> Sight {
    match moment.model.promises().diffs_see_everything {
        true => Sight::Everything,
        false => Sight::ByName,
    }
}
