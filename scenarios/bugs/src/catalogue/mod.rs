//! The catalogue: one bug a file, listed once; what each file begins with is what is told of it.
//!
//! *Never*: a bug that was made up. Each tells where it happened, and changes one thing.

use crate::bug::Bug;

/// A bug of the catalogue, or somebody's own.
pub struct Entry {
    /// The wrong behaviour; the name of its file.
    pub name: String,
    /// What goes wrong for whoever uses it, in one sentence.
    pub symptom: String,
    /// Where it really happened.
    pub origin: String,
    /// It.
    pub bug: &'static dyn Bug,
}

impl Entry {
    /// What the file `text`, called `name`, tells of its bug.
    fn read(name: &str, text: &str, bug: &'static dyn Bug) -> Entry {
        let header: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let mut paragraphs = header.split(|line| line.is_empty()).map(|lines| lines.join(" "));
        let symptom = paragraphs.next().unwrap_or_default();
        let origin = paragraphs.find_map(|text| text.strip_prefix("Origin: ").map(str::to_owned)).unwrap_or_default();
        Entry { name: name.replace('_', "-"), symptom, origin, bug }
    }
}

/// The list: each name is a file, and what is called `BUG` in it.
macro_rules! catalogue {
    ($($name:ident,)+) => {
        $(mod $name;)+

        /// Every bug.
        pub fn all() -> Vec<Entry> {
            vec![$(Entry::read(stringify!($name), include_str!(concat!(stringify!($name), ".rs")), &$name::BUG),)+]
        }
    };
}

catalogue! {
    a_copied_up_file_is_listed_with_its_new_number,
    a_copy_up_ends_with_the_first_read,
    a_copy_up_is_there_before_it_is_filled,
    a_copy_up_without_room_leaves_an_empty_file,
    a_deep_stack_lacks_its_lowest_layer,
    a_deleted_copy_uncovers_the_file_below,
    a_deleted_file_can_be_renamed,
    a_deleted_file_is_still_listed,
    a_deleted_name_is_hidden_in_every_directory,
    a_deletion_without_a_look_before_is_forgotten,
    a_directory_at_a_moved_ones_name_is_not_opaque,
    a_directory_changes_its_number_with_its_first_new_file,
    a_directory_in_the_place_of_a_whiteout_is_not_opaque,
    a_directory_without_its_parents_is_refused,
    a_failed_deletion_uncovers_the_file_below,
    a_file_in_the_place_of_a_deleted_one_is_the_superusers,
    a_file_is_emptied_after_it_was_opened,
    a_file_that_comes_back_as_it_was_is_left_out,
    a_file_that_is_there_again_counts_as_changed,
    a_layer_that_breaks_off_is_taken_as_it_is,
    a_layer_that_is_compared_is_unmounted,
    a_layer_that_is_refused_stays_open,
    a_layer_that_is_there_is_made_again,
    a_layer_with_whiteouts_has_nothing_else,
    a_link_is_packed_as_a_link_to_a_link,
    a_link_to_a_lower_file_changes_its_number,
    a_list_that_is_continued_loses_a_name,
    a_mount_at_an_odd_path_stays,
    a_moved_directory_is_empty_after_a_commit,
    a_moved_file_leaves_a_whiteout_where_it_is_deleted,
    a_name_with_a_dash_beside_a_changed_directory_is_taken_away,
    a_new_directory_in_a_replaced_one_shows_what_was_below,
    a_new_link_is_another_file,
    a_refused_chmod_copies_up,
    a_refused_rename_hides_its_source,
    a_removal_takes_what_is_being_made_along,
    a_removed_directory_is_there_again,
    a_rename_onto_a_whiteout_is_refused,
    a_rename_onto_a_whiteout_uncovers_its_source,
    a_rename_onto_another_name_of_the_file_removes_one,
    a_replaced_directory_is_packed_with_default_modes,
    a_root_that_is_no_directory_is_passed_over,
    a_whiteout_further_down_hides_what_came_after,
    a_whiteout_removes_a_file_of_its_own_layer,
    access_control_lists_are_not_copied_up,
    an_edit_of_the_same_second_and_size_is_lost,
    an_empty_note_is_taken_for_a_name,
    an_open_file_shows_what_was_there_before_the_copy_up,
    another_group_alone_is_no_change,
    anybody_may_change_modes,
    attributes_are_packed_under_another_key,
    attributes_that_are_refused_are_lost_unsaid,
    bytes_behind_the_end_of_a_tar_are_not_read,
    capabilities_are_set_before_owners,
    compressed_layers_are_called_by_their_compressed_bytes,
    copy_up_drops_the_set_user_bit,
    deletions_in_a_replaced_directory_leave_whiteouts,
    device_numbers_are_cut_to_a_byte,
    device_numbers_are_unpacked_as_a_byte,
    digests_are_joined_to_paths,
    directories_have_the_time_at_which_they_were_filled,
    each_file_system_has_its_own_inode_numbers,
    empty_attributes_are_not_unpacked,
    empty_files_are_always_changed,
    files_are_written_through_hard_links,
    files_are_written_through_symbolic_links,
    files_of_one_content_are_one_file,
    files_with_one_number_are_taken_for_one_file,
    implied_directories_are_for_the_superuser_alone,
    links_are_counted_once_too_often,
    links_are_made_by_the_driver,
    links_are_packed_relative_to_their_directory,
    links_to_symbolic_links_are_followed,
    links_with_rooted_targets_are_refused,
    long_names_are_cut,
    modes_are_set_before_owners,
    modes_are_set_through_symbolic_links,
    names_are_looked_at_and_used_later,
    names_like_private_attributes_are_refused,
    old_files_are_left_out,
    only_the_last_attribute_is_unpacked,
    opaque_marks_are_copied_up,
    opaque_marks_are_taken_for_whiteouts,
    owners_are_cut_to_what_octal_digits_hold,
    private_attributes_are_shown,
    short_names_stay_when_their_layers_are_removed,
    the_root_of_a_layer_is_not_unpacked,
    the_second_name_of_a_file_is_copied_up_anew,
    the_second_of_two_removed_directories_stays,
    the_time_of_a_directory_alone_is_no_change,
    the_time_of_a_link_is_its_targets,
    times_are_rounded_up_to_seconds,
    times_are_unpacked_in_seconds,
    two_comparisons_with_one_layer_collide,
    two_make_one_layer_at_once,
    what_a_crash_left_makes_the_mount_read_only,
    what_is_looked_at_can_be_written,
    what_was_attached_is_forgotten_by_a_restart,
    whiteouts_are_forgotten_by_a_remount,
    whiteouts_are_packed_as_links,
    whiteouts_are_unpacked_as_files,
    whiteouts_come_in_any_order,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_listed_and_says_what_it_is() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalogue");
        let files = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path());
        let names: BTreeSet<String> = files
            .map(|path| path.file_stem().unwrap().to_string_lossy().replace('_', "-"))
            .filter(|name| name != "mod")
            .collect();
        let all = all();
        assert_eq!(names, all.iter().map(|entry| entry.name.clone()).collect());
        for entry in all {
            assert!(
                entry.symptom.ends_with('.') && entry.symptom.matches(". ").count() == 0,
                "{}: one sentence",
                entry.name
            );
            assert!(!entry.origin.is_empty(), "{}: where did it happen?", entry.name);
        }
    }
}
