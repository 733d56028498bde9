//! overlayfs's private attributes in the upper layer: of what there may be which, and what each says.
//!
//! *Source*: `OVL_XATTR_*`, `struct ovl_fb` and `struct ovl_metacopy` of `fs/overlayfs/overlayfs.h`; who writes one is named at its rule. *Holds*: that
//! an opaque mark, a redirect or a metacopy mark must be there is told by comparing the trees; what such a mark says, and all about the others, is
//! told here.

use layerlab_model::inode::{At, Copied};
use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use layerlab_model::union::{Mark, Union};

use crate::tree::{self, Facts, Tree};

/// The value of a mark that says yes (`ovl_set_opaque_xerr`, `ovl_set_impure` of `fs/overlayfs/util.c`).
const YES: &[u8] = b"y";
/// An identity (`ovl_init_uuid_xattr` of `fs/overlayfs/util.c`).
const UUID_BYTES: usize = 16;
/// A file handle without the handle itself (`struct ovl_fb`).
const ORIGIN_HEAD_BYTES: usize = 21;
/// What is said of the content of a file without a digest of it (`OVL_METACOPY_MIN_SIZE`).
const METACOPY_BYTES_MIN: usize = 4;

/// Whether it is a file handle as overlayfs writes it, or nothing where there are none (`ovl_set_origin_fh` of `fs/overlayfs/copy_up.c`).
pub fn is_origin(value: &[u8]) -> bool {
    match value {
        [] => true,
        [version, magic, length, ..] => {
            *version == 0 && *magic == 0xfb && usize::from(*length) == value.len() && value.len() > ORIGIN_HEAD_BYTES
        }
        _ => false,
    }
}

/// Whether it says that content lies below (`ovl_set_metacopy_xattr` of `fs/overlayfs/util.c`).
fn is_metacopy(value: &[u8]) -> bool {
    match value {
        [] => true,
        [version, length, ..] => {
            *version == 0 && usize::from(*length) == value.len() && value.len() >= METACOPY_BYTES_MIN
        }
        _ => false,
    }
}

/// How many names a file has by this attribute, where it has so many on disk, here and below (`ovl_set_nlink_common` of
/// `fs/overlayfs/util.c`, `ovl_get_nlink` of `fs/overlayfs/inode.c`).
pub fn names_by(value: &[u8], here: u64, below: u32) -> Option<i64> {
    let (base, difference) = std::str::from_utf8(value).ok()?.split_at_checked(1)?;
    let base = match base {
        "U" => i64::try_from(here).ok()?,
        "L" => i64::from(below),
        _ => return None,
    };
    let is_signed = difference.starts_with(['+', '-']);
    is_signed.then(|| difference.parse::<i64>().ok()).flatten().map(|difference| base + difference)
}

/// What is wrong with the private attributes of the `upper` layer, where it should be what the model has in its own.
pub fn faults(union: &Union, promises: &Promises, upper: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (names, mark) in union.upper_marks() {
        let path = tree::path(&names);
        let Some(facts) = upper.get(&path).filter(|facts| !facts.private.is_empty()) else { continue };
        let at = match mark {
            Mark::Whiteout => None,
            Mark::Other { at } | Mark::Directory { at, .. } => Some(at),
        };
        for (name, value) in &facts.private {
            let wrong = at.map_or(Some("a whiteout has none"), |at| {
                fault(union, promises, (at, names.is_empty()), facts, name, value)
            });
            let said = Text(value.clone());
            found.extend(wrong.map(|why| format!("/{path}: the private attribute {name} is {said:?}: {why}")));
        }
        // Its directory says that it holds such (`ovl_copy_up_workdir` of `fs/overlayfs/copy_up.c` and its like; `ovl_rename` of `fs/overlayfs/dir.c`),
        // until it is listed and nothing in it has another inode number than its own (`ovl_cache_get_impure` of `fs/overlayfs/readdir.c`).
        let has = |facts: &Facts, name: &str| facts.private.contains_key(&Text::from(name));
        let parent = names.split_last().map(|(_, parent)| tree::path(parent));
        let is_pure = |parent: &Text| upper.get(parent).is_some_and(|facts| !has(facts, "impure"));
        let is_impure_with = promises.inode_numbers_survive_a_remount && has(facts, "origin");
        if let Some(path) = parent.filter(|parent| is_impure_with && is_pure(parent)) {
            found.push(format!("/{path}: should be marked impure, since it holds a copy"));
        }
    }
    found
}

/// Why the attribute `name` of the model's `at`, the root or not, that is `facts` on disk, should not be or not say this.
fn fault(
    union: &Union,
    promises: &Promises,
    (at, is_root): (At, bool),
    facts: &Facts,
    name: &Text,
    value: &[u8],
) -> Option<&'static str> {
    let Copied { names_below, redirect, .. } = &union.inode(at).copied;
    let (is_copy, is_directory) = (*names_below > 0, facts.kind == 'd');
    let rules: &[(bool, &'static str)] = &match name.as_bytes() {
        b"opaque" | b"impure" => [(is_directory, "it is no directory"), (value == YES, "not y")],
        // With an index the root says which lower layer it is the upper one of (`ovl_get_indexdir` of `fs/overlayfs/super.c`).
        b"origin" => [
            (is_copy || is_root && promises.hard_links_survive_copy_up, "it is no copy"),
            (is_origin(value), "no file handle"),
        ],
        b"redirect" => [
            (
                is_directory && promises.lower_directories_move || promises.content_stays_below,
                "the options have no redirects",
            ),
            (redirect.as_ref().is_some_and(|text| text.as_bytes() == value), "not where the rest of it lies"),
        ],
        b"metacopy" => [
            (facts.kind == '-' && promises.content_stays_below, "the options have no such files"),
            (is_metacopy(value), "no such mark"),
        ],
        b"nlink" => {
            let said = names_by(value, facts.links, *names_below);
            // Else a name in the index may be counted or not.
            let is_right = match promises.numbers_of_names_survive_a_remount {
                true => said == Some(i64::from(union.links(at))),
                false => said.is_some(),
            };
            let is_indexed = is_copy && !is_directory && promises.hard_links_survive_copy_up;
            [(is_indexed, "the options have no index of it"), (is_right, "not how many names it has")]
        }
        b"uuid" => [(is_root, "it is not the root"), (value.len() == UUID_BYTES, "no identity")],
        // What is of no known name is told with the other marks.
        _ => return None,
    };
    rules.iter().find(|(holds, _)| !holds).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_handle_says_how_long_it_is() {
        let handle = |length: u8, bytes: usize| [&[0, 0xfb, length][..], &vec![1; bytes - 3]].concat();
        assert!(is_origin(&[]) && is_origin(&handle(29, 29)));
        for wrong in [handle(28, 29), handle(21, 21), vec![9, 0xfb, 3], vec![0, 0xfb], b"x".to_vec()] {
            assert!(!is_origin(&wrong), "{wrong:02x?}");
        }
    }

    #[test]
    fn content_that_lies_below_may_have_a_digest() {
        assert!(is_metacopy(&[]) && is_metacopy(&[0, 4, 0, 0]) && is_metacopy(&[0, 6, 0, 1, 9, 9]));
        assert!(!is_metacopy(&[0, 5, 0, 0]) && !is_metacopy(&[1, 4, 0, 0]) && !is_metacopy(b"y"));
    }

    #[test]
    fn names_are_counted_from_those_here_or_below() {
        assert_eq!((names_by(b"U+1", 2, 5), names_by(b"L-3", 2, 5)), (Some(3), Some(2)));
        for wrong in [&b"U1"[..], b"X+1", b"U+", b"", b"+1", b"\xff+1"] {
            assert_eq!(names_by(wrong, 1, 1), None);
        }
    }
}
