//! The machine that laws run on: what this process may do here, read once and never guessed from a version.

use std::fs;

use layerlab_model::promises::{Promises, Protected};

/// What the kernel and the privileges of this process allow.
#[derive(Debug, Clone)]
pub struct Host {
    /// Whether there is a second user to be.
    pub has_other_user: bool,
    /// Whether root here is root of the machine.
    pub is_first_namespace: bool,
    /// The kernel's release.
    pub kernel: String,
    protected: Protected,
}

impl Host {
    /// Asks the kernel.
    pub fn probe(has_other_user: bool) -> Host {
        let setting = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/fs/protected_{name}")).unwrap_or_default();
            text.trim().parse::<u8>().unwrap_or(0)
        };
        let is_first_namespace = fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
        let protected = Protected {
            symlinks: setting("symlinks") > 0,
            hardlinks: setting("hardlinks") > 0,
            regular: setting("regular"),
            fifos: setting("fifos"),
        };
        Host {
            has_other_user,
            is_first_namespace,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            protected,
        }
    }

    /// What every subject on this machine promises at least.
    pub fn promises(&self) -> Promises {
        Promises {
            layers: true,
            root_is_inherited: true,
            refused_xattrs_copy_up: false,
            refused_renames_mark_opaque: false,
            lower_directories_move: false,
            links_survive_copy_up: false,
            copies_can_be_linked: true,
            inode_numbers_survive_a_remount: true,
            first_namespace: self.is_first_namespace,
            protected: self.protected,
        }
    }
}
