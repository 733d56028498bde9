//! Every storage driver that Docker or a document about it names, and what keeps one from working here.

use std::fmt;
use std::fs;
use std::path::Path;

use super::files::backing_file_system;
use super::{Deviation, Driver, DriverError, btrfs, fuse_overlayfs, overlay, overlay2, trial, vfs};
use crate::sys::{self, namespace};

/// Opens a driver below a data root.
pub(super) type Open = fn(&Path) -> Result<Box<dyn Driver>, DriverError>;

/// A storage driver as it is known by name.
pub struct Known {
    /// Docker's name of it.
    pub name: &'static str,
    /// Opens it below a data root; `None` when this engine does not have it.
    pub(super) open: Option<Open>,
    /// What it needs of the machine; the path is the data root.
    needs: fn(&Path) -> Option<String>,
    /// What it does otherwise than others; nothing is known of one that this engine does not have.
    pub deviations: &'static [Deviation],
    /// What is worth knowing of a driver that works, or what one that does not would need; the path is the data root.
    about: fn(&Path) -> String,
}

/// A storage driver on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It works; perhaps with a remark.
    Supported(String),
    /// It does not, for this reason.
    NotSupported(String),
}

/// Why a driver is the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Somebody named it.
    Named,
    /// Its layers lie in the data root.
    Prior,
    /// Nobody named one, and no layers lie there.
    First,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Named => f.write_str("named by --storage-driver or daemon.json"),
            Choice::Prior => f.write_str("its layers lie in the data root"),
            Choice::First => write!(f, "the first of {} that works here", ORDER.join(", ")),
        }
    }
}

/// All of them: those of this engine first.
pub static KNOWN: [Known; 9] = [
    Known {
        name: overlay2::NAME,
        deviations: overlay2::DEVIATIONS,
        needs: overlayfs,
        open: Some(|root| Ok(Box::new(overlay2::Overlay2::open(root)?))),
        about: |_| String::new(),
    },
    Known {
        name: overlay::NAME,
        deviations: overlay::DEVIATIONS,
        needs: overlayfs,
        open: Some(|root| Ok(Box::new(overlay::Overlay::open(root)?))),
        about: |_| "deprecated by Docker and gone from its version 24".to_owned(),
    },
    Known {
        name: vfs::NAME,
        deviations: vfs::DEVIATIONS,
        needs: |_| None,
        open: Some(|root| Ok(Box::new(vfs::Vfs::open(root)?))),
        about: |_| "it mounts nothing, and each layer is a whole copy, reflinked where the file system can".to_owned(),
    },
    Known {
        name: btrfs::NAME,
        deviations: btrfs::DEVIATIONS,
        needs: |root| (!sys::btrfs::is_below(root)).then(|| needs_data_root_on("btrfs", root)),
        open: Some(|root| Ok(Box::new(btrfs::Btrfs::open(root)?))),
        about: |_| "it mounts nothing, and each layer is a snapshot".to_owned(),
    },
    Known {
        name: fuse_overlayfs::NAME,
        deviations: fuse_overlayfs::DEVIATIONS,
        needs: |_| fuse_overlayfs::need(),
        open: Some(|root| Ok(Box::new(fuse_overlayfs::FuseOverlayfs::open(root)?))),
        about: |_| "the program fuse-overlayfs stacks the layers, one process for each mount".to_owned(),
    },
    Known {
        name: "aufs",
        deviations: &[],
        needs: |_| None,
        open: None,
        about: |_| {
            if file_systems().contains("aufs") {
                format!("{NOT_BUILT}, although this kernel has AUFS")
            } else {
                "AUFS was not found in /proc/filesystems; it was never part of Linux itself, and is gone from Docker's version 24"
                    .to_owned()
            }
        },
    },
    Known {
        name: "devicemapper",
        deviations: &[],
        needs: |_| None,
        open: None,
        about: |_| {
            format!(
                "{NOT_BUILT}; it would need {} and a thin pool on a block device (LVM: pvs, lvs), and is gone from \
                 Docker's version 25",
                device("/dev/mapper/control")
            )
        },
    },
    Known {
        name: "zfs",
        deviations: &[],
        needs: |_| None,
        open: None,
        about: |root| format!("{NOT_BUILT}; {}, and {}", needs_data_root_on("zfs", root), device("/dev/zfs")),
    },
    Known {
        name: "windowsfilter",
        deviations: &[],
        needs: |_| None,
        open: None,
        about: |_| "it is a filter of Windows' NTFS: it exists on Windows only, for Windows images".to_owned(),
    },
];

const NOT_BUILT: &str = "this engine does not have it yet";

/// Each known driver, and whether it works below `data_root`.
pub fn survey(data_root: &Path) -> Vec<(&'static str, Availability)> {
    KNOWN.iter().map(|known| (known.name, known.availability(data_root))).collect()
}

/// Why the driver called `name` does not work below `data_root`, if so.
pub fn refusal(name: &str, data_root: &Path) -> Option<String> {
    let known = KNOWN.iter().find(|known| known.name == name)?;
    match known.availability(data_root) {
        Availability::NotSupported(why) => Some(why),
        Availability::Supported(_) => None,
    }
}

/// The drivers that are chosen unasked, the first that works. Docker's order since its version 23.
const ORDER: [&str; 4] = [overlay2::NAME, fuse_overlayfs::NAME, btrfs::NAME, vfs::NAME];

/// The driver of a data root on which nothing lies yet.
pub(super) fn first_choice(data_root: &Path) -> &'static str {
    first_that(|name| refusal(name, data_root).is_none())
}

/// The first of them of which this is so; where it is so of none, the default driver's own error tells why.
fn first_that(works: impl Fn(&str) -> bool) -> &'static str {
    ORDER.into_iter().find(|name| works(name)).unwrap_or(overlay2::NAME)
}

impl Known {
    /// Whether the driver does this otherwise than others.
    pub fn deviates(&self, in_what: Deviation) -> bool {
        self.deviations.contains(&in_what)
    }

    /// Whether this engine has the driver, whatever this machine can do.
    pub fn is_built_in(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn availability(&self, data_root: &Path) -> Availability {
        let about = (self.about)(data_root);
        match (self.open, (self.needs)(data_root)) {
            (Some(_), None) => Availability::Supported(about),
            (Some(_), Some(need)) => Availability::NotSupported(need),
            (None, _) => Availability::NotSupported(about),
        }
    }
}

/// Why the kernel stacks no layers below `data_root`. That is tried once: where layers lie already it did.
fn overlayfs(data_root: &Path) -> Option<String> {
    // A kernel that has it as a module loads it at root's first mount.
    let is_here = !namespace::is_user_namespace() || file_systems().split_whitespace().any(|word| word == "overlay");
    if !is_here {
        return Some("overlay was not found in /proc/filesystems: load it with `modprobe overlay`".to_owned());
    }
    if [overlay2::NAME, overlay::NAME].iter().any(|used| data_root.join(used).exists()) {
        return None;
    }
    trial::refusal(data_root)
}

fn file_systems() -> String {
    fs::read_to_string("/proc/filesystems").unwrap_or_default()
}

fn needs_data_root_on(wanted: &str, data_root: &Path) -> String {
    match backing_file_system(data_root) {
        found if found == wanted => format!("it would need the data root on {wanted}, where it is"),
        found => format!("it would need the data root on {wanted}, and it is on {found}"),
    }
}

fn device(path: &str) -> String {
    let whether = if Path::new(path).exists() { "is here" } else { "is not here" };
    format!("{path} (which {whether})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_overlay2_is_refused_it_is_fuse_overlayfs_if_the_program_is_there_and_else_vfs() {
        let chosen = |working: &[&str]| first_that(|name| working.contains(&name));
        assert_eq!(chosen(&["vfs", "fuse-overlayfs", "overlay2", "overlay"]), overlay2::NAME);
        assert_eq!(chosen(&["vfs", "fuse-overlayfs"]), fuse_overlayfs::NAME);
        assert_eq!(chosen(&["vfs", "btrfs", "fuse-overlayfs"]), fuse_overlayfs::NAME);
        assert_eq!(chosen(&["vfs", "btrfs"]), btrfs::NAME);
        assert_eq!(chosen(&["vfs", "overlay"]), vfs::NAME);
        assert_eq!(chosen(&[]), overlay2::NAME);
    }

    #[test]
    fn a_driver_that_is_not_here_says_what_it_would_need() {
        let root = tempfile::tempdir().unwrap();
        // Where layers lie already it is not tried whether they can.
        fs::create_dir(root.path().join(overlay2::NAME)).unwrap();
        let all = survey(root.path());
        let said = |name| match &all.iter().find(|(known, _)| *known == name).unwrap().1 {
            Availability::NotSupported(reason) => reason.clone(),
            Availability::Supported(remark) => panic!("{name} works: {remark}"),
        };
        assert!(said("devicemapper").contains("/dev/mapper/control"));
        assert!(said("zfs").contains("the data root on zfs"));
        assert!(said("windowsfilter").contains("Windows"));
        assert!(matches!(all[0], (overlay2::NAME, Availability::Supported(_))));
    }
}
