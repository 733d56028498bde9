//! Where kernels, file systems and engines are known to differ: who breaks a law in one of these ways is told so.
//!
//! *Why*: a subject that has not declared a promise yet breaks laws that nobody can mend here. *Holds*: each has its source; what is
//! found stays a failure. *Never*: an excuse for anything beside it: every finding has to be of the kind. *Proved by*:
//! `tests/known.rs`, where subjects promise what they do not keep.

use layerlab_model::operation::{Allocate, Operation, Replace, Step, Target};

use crate::campaign::NOT_EACH_TIME;

/// A documented difference, most of them a field of `layerlab_model::promises::Promises`.
#[derive(Debug)]
pub struct Deviation {
    /// What happens.
    pub what: &'static str,
    /// Who says so: file and function.
    pub source: &'static str,
    /// The file system that it comes of, by the word of `--backing`; none where it may be any.
    backing: Option<&'static str>,
    /// The laws that break by it.
    laws: &'static [&'static str],
    /// Whether it can come of this step, the last one.
    step: fn(&Operation) -> bool,
    /// Whether what is found is of this kind.
    finding: fn(&str) -> bool,
}

const MERGED: &str = "merged-view-equals-the-model";
const REFUSED: &str = "refused-steps-change-nothing";
const REMOUNT: &str = "remount-changes-nothing";
const UPPER: &str = "upper-holds-exactly-what-it-must";

static ALL: [Deviation; 11] = [
    Deviation {
        what: "overlayfs copies a file up before it refuses to set or remove an attribute",
        source: "ovl_xattr_set of fs/overlayfs/xattrs.c",
        backing: None,
        laws: &[REFUSED, UPPER],
        step: |step| {
            matches!(step, Operation::SetXattr { .. } | Operation::SetLinkXattr { .. } | Operation::RemoveXattr { .. })
        },
        finding: |found| is_of_upper(found) || found.contains(": number of names") || found.contains(": inode was"),
    },
    Deviation {
        what: "overlayfs copies up and marks directories opaque before a rename is refused",
        source: "ovl_rename of fs/overlayfs/dir.c",
        backing: None,
        laws: &[REFUSED, UPPER],
        step: is_rename,
        finding: is_of_upper,
    },
    Deviation {
        what: "overlayfs without redirects renames no directory of a lower layer",
        source: "Documentation/filesystems/overlayfs.rst, \"Renaming directories\"; ovl_rename of fs/overlayfs/dir.c",
        backing: None,
        laws: &[MERGED],
        step: is_rename,
        finding: |found| found.ends_with("gives Err(EXDEV)"),
    },
    Deviation {
        what: "in a user namespace overlayfs cannot keep where a file was copied from, and takes its names for several files",
        source: "ovl_decode_real_fh of fs/overlayfs/namei.c, which asks for CAP_DAC_READ_SEARCH",
        backing: None,
        laws: &[MERGED],
        step: |_| true,
        finding: |found| found.ends_with("gives Err(ESTALE)") || found.contains(": is not one file with the names"),
    },
    Deviation {
        what: "a file that was copied up has another inode number after a remount, where overlayfs cannot keep its origin",
        source: "Documentation/filesystems/overlayfs.rst, \"Inode properties\"; ovl_get_inode of fs/overlayfs/inode.c",
        backing: None,
        laws: &[REMOUNT],
        step: |step| *step == Operation::Remount,
        finding: |found| found.contains(": inode was"),
    },
    Deviation {
        what: "xfs changes the time of a directory that changes places, since it writes its `..` anew",
        source: "xfs_cross_rename of fs/xfs/xfs_inode.c",
        backing: Some("xfs"),
        laws: &[MERGED, UPPER],
        step: is_rename,
        finding: is_of_time,
    },
    Deviation {
        what: "xfs refuses to rename over a directory that is not empty with EEXIST, not ENOTEMPTY",
        source: "xfs_rename of fs/xfs/xfs_inode.c; rename(2) allows both",
        backing: Some("xfs"),
        laws: &[MERGED],
        step: is_rename,
        finding: |found| found.ends_with("should give Err(ENOTEMPTY), gives Err(EEXIST)"),
    },
    Deviation {
        what: "ext4 changes the time of a directory in which it refuses a rename that leaves a whiteout",
        source: "ext4_rename of fs/ext4/namei.c",
        backing: Some("ext4"),
        laws: &[MERGED, REFUSED, UPPER],
        step: |step| matches!(step, Operation::Rename { replace: Replace::Yes | Replace::No, .. }),
        finding: is_of_time,
    },
    Deviation {
        what: "btrfs changes nothing when a hole is punched where nothing is, neither time nor privileges",
        source: "btrfs_punch_hole of fs/btrfs/file.c",
        backing: Some("btrfs"),
        laws: &[MERGED, UPPER],
        step: |step| matches!(step, Operation::Allocate { how: Allocate::Punch, .. }),
        finding: is_of_time_or_privileges,
    },
    Deviation {
        what: "tmpfs, xfs and btrfs change nothing when a file is truncated to the length that it has, neither time nor privileges",
        source: "shmem_setattr of mm/shmem.c, xfs_setattr_size of fs/xfs/xfs_iops.c, btrfs_setsize of fs/btrfs/inode.c",
        backing: None,
        laws: &[MERGED, UPPER],
        step: |step| matches!(step, Operation::Truncate { target: Target::Path(_), .. }),
        finding: is_of_time_or_privileges,
    },
    Deviation {
        what: "the root directory of a layer made by Docker's overlay2 has mode and owner of its own, not of the one below",
        source: "create of moby's daemon/graphdriver/overlay2/overlay.go",
        backing: None,
        laws: &[MERGED, UPPER],
        step: |step| *step == Operation::Commit,
        finding: |found| {
            let found = found.trim_start_matches("upper: ");
            ["mode", "owner", "group"].iter().any(|field| found.starts_with(&format!("/: {field} should be ")))
        },
    },
];

fn is_rename(step: &Operation) -> bool {
    matches!(step, Operation::Rename { .. })
}

fn is_of_upper(found: &str) -> bool {
    found.starts_with("upper: ") || found.starts_with("refused, and yet in the upper layer ")
}

fn is_of_time(found: &str) -> bool {
    found.contains(": mtime should ") || found.contains(": mtime was ")
}

fn is_of_time_or_privileges(found: &str) -> bool {
    is_of_time(found) || found.contains(": mode should be ") || found.contains(": xattrs should be ")
}

/// The deviations that explain everything that was found after `steps`; several can look the same.
pub fn matching(law: Option<&str>, backing: &str, steps: &[Step], findings: &[String]) -> Vec<&'static Deviation> {
    let (Some(law), Some(last)) = (law, steps.last()) else { return Vec::new() };
    // What a directory that was named lies on is not known here.
    let may_be_on = |kind: &str| kind == backing || backing.starts_with('/');
    let explains = |deviation: &&Deviation| {
        deviation.laws.contains(&law)
            && deviation.backing.is_none_or(may_be_on)
            && (deviation.step)(&last.operation)
            && !findings.is_empty()
            && findings.iter().filter(|found| *found != NOT_EACH_TIME).all(|found| (deviation.finding)(found))
    };
    ALL.iter().filter(explains).collect()
}

#[cfg(test)]
mod tests {
    use layerlab_model::operation::User;

    use super::*;
    use crate::laws;

    #[test]
    fn the_laws_that_deviations_name_are_laws() {
        for name in ALL.iter().flat_map(|deviation| deviation.laws) {
            assert!(laws::ALL.iter().any(|law| law.name() == *name), "{name}");
        }
    }

    #[test]
    fn one_finding_of_another_kind_is_not_excused() {
        let rename = Operation::Rename { from: "/a".into(), to: "/b".into(), replace: Replace::Yes };
        let steps = [Step { user: User::Root, operation: rename }];
        let moved = "the last step should give Ok(Done), gives Err(EXDEV)".to_owned();
        assert_eq!(matching(Some(MERGED), "tmpfs", &steps, std::slice::from_ref(&moved)).len(), 1);
        assert!(
            matching(Some(MERGED), "tmpfs", &steps, &[moved.clone(), "/a: should be there (a file)".to_owned()])
                .is_empty()
        );
        assert!(matching(Some(UPPER), "tmpfs", &steps, std::slice::from_ref(&moved)).is_empty());
        assert!(matching(Some(MERGED), "tmpfs", &[], &[moved]).is_empty());
    }
}
