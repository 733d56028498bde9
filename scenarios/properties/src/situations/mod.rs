//! Situations: what random steps do not reach, arranged by hand: locks, mappings, a full disk, many threads, layers that were edited.
//!
//! *Why*: a case is one thread's steps in a mount that is sound; much of what goes wrong with containers is neither. *Holds*: a situation
//! is a function with a name that says what holds; it works in a stack of any subject and says when that has not what it is about. One
//! that broke is kept, and arranged first next time.
//! *Never*: a situation that cannot fail, or that leaves something behind. *Proved by*: `tests/situations.rs`, where somebody meddles with
//! each of them at the moment before it looks, and is noticed.

use std::path::Path;
use std::sync::LazyLock;

use crate::laws::{Judged, Verdict};
use crate::machine::Host;
use crate::subjects::Subject;

mod arranged;
mod attributes;
mod cold;
mod copy_up;
mod crowds;
mod edited;
mod handles;
mod mounts;
mod open_files;
mod stage;

pub use arranged::{Arranged, arranged};
pub use stage::Stage;

/// Something that must hold, with what it takes to see it.
pub struct Situation {
    /// What holds; the name of its function.
    name: String,
    /// Arranges, acts and looks. An error is what is not as it should be.
    act: fn(&mut Stage<'_>) -> anyhow::Result<Judged>,
}

/// A table of situations: each is called as its function is.
macro_rules! situations {
    ($($file:ident: $($name:ident),+;)+) => {
        vec![$($(Situation { name: stringify!($name).replace('_', "-"), act: $file::$name },)+)+]
    };
}

/// Every situation.
pub static ALL: LazyLock<Vec<Situation>> = LazyLock::new(|| {
    situations! {
        open_files: mappings_show_what_is_written, locks_survive_a_copy_up, locks_name_the_inode_that_stat_names,
            fsync_succeeds_on_files_of_every_layer, a_working_directory_survives_a_refused_rmdir, watches_see_what_is_done_after_a_copy_up;
        copy_up: holes_stay_holes, four_gibibytes_are_copied_up, times_come_up_and_are_set_one_by_one, a_full_disk_leaves_the_file_as_it_was,
            a_deletion_without_room_is_done_or_leaves_the_file, links_of_directories_are_counted_or_constant;
        attributes: file_attributes_are_kept_and_enforced, file_attributes_come_up_with_their_file, private_attributes_are_well_formed, private_attributes_of_an_inner_overlay_are_kept;
        crowds: files_are_copied_up_whole_while_others_read, no_append_is_lost_in_a_crowd, two_names_copied_up_at_once_are_one_file,
            a_crowd_leaves_a_sound_tree;
        cold: cold_caches_show_the_same;
        handles: file_handles_find_their_files;
        edited: a_name_added_to_a_lower_layer_does_no_harm, a_copied_copy_is_a_file_of_its_own,
            nonsense_in_private_attributes_does_no_harm, whiteouts_of_attributes_hide;
        mounts: without_an_upper_layer_nothing_is_written, what_a_crash_left_in_the_work_directory_is_cleared,
            an_upper_layer_is_not_mounted_twice, layers_of_another_stack_are_refused, layers_within_one_another_are_refused,
            an_overlay_is_no_upper_layer, an_overlay_lies_on_an_overlay, a_file_system_has_an_identity_of_its_own,
            files_with_one_number_in_two_layers_are_two, erofs_images_are_lower_layers, squashfs_images_are_lower_layers;
    }
});

/// It makes the kernel forget what others use, too: where overlayfs cannot keep origins (in a user namespace) their inode numbers change by
/// that.
const DISTURBS_OTHERS: &str = "cold-caches-show-the-same";

/// Those that have one of these names. When none is given, all but the one that disturbs others.
pub fn chosen(wanted: &[String]) -> Vec<&'static Situation> {
    let is_wanted = |one: &&Situation| match wanted {
        [] => one.name() != DISTURBS_OTHERS,
        wanted => wanted.iter().any(|name| name == one.name()),
    };
    ALL.iter().filter(is_wanted).collect()
}

impl Situation {
    /// What holds, as on the command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tries it on a stack of `subject` in the directory `place`. `meddle` is called in the moment before it looks, with the
    /// root of what it looks at: it does nothing, unless to see that it is noticed.
    pub fn hold(
        &self,
        subject: &dyn Subject,
        host: &Host,
        place: &Path,
        meddle: &dyn Fn(&Stage<'_>, &Path),
    ) -> Verdict {
        let tried = || {
            let place = tempfile::tempdir_in(place)?;
            let mut stage = Stage::begin(subject, host, place.path(), meddle)?;
            (self.act)(&mut stage)
        };
        tried().map_err(|error| vec![format!("{error:#}")])
    }
}
