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
    a_deleted_copy_uncovers_the_file_below,
    a_layer_with_whiteouts_has_nothing_else,
    a_link_is_packed_as_a_link_to_a_link,
    a_new_link_is_another_file,
    a_refused_chmod_copies_up,
    a_refused_rename_hides_its_source,
    a_rename_onto_a_whiteout_is_refused,
    a_rename_onto_a_whiteout_uncovers_its_source,
    a_rename_onto_another_name_of_the_file_removes_one,
    a_replaced_directory_is_packed_with_default_modes,
    anybody_may_change_modes,
    attributes_are_packed_under_another_key,
    capabilities_are_set_before_owners,
    copy_up_drops_the_set_user_bit,
    device_numbers_are_cut_to_a_byte,
    empty_attributes_are_not_unpacked,
    links_are_made_by_the_driver,
    links_are_packed_relative_to_their_directory,
    links_to_symbolic_links_are_followed,
    modes_are_set_before_owners,
    old_files_are_left_out,
    only_the_last_attribute_is_packed,
    opaque_marks_are_taken_for_whiteouts,
    the_root_of_a_layer_is_not_unpacked,
    the_second_of_two_removed_directories_stays,
    the_time_of_a_link_is_its_targets,
    times_are_rounded_up_to_seconds,
    times_are_unpacked_in_seconds,
    whiteouts_are_forgotten_by_a_remount,
    whiteouts_are_packed_as_links,
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
