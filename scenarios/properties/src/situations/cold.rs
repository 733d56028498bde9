//! What is found when every cache of the kernel is cold: those of the file system below the layers, too.
//!
//! Checklist: IN-02~

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;

use anyhow::{Context, ensure};

use super::Stage;
use crate::laws::Judged;
use crate::tree::{self, Inodes};

/// Where names and inodes that nobody uses are forgotten by the number 2 (`Documentation/admin-guide/sysctl/vm.rst`).
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// A tree of three layers with changes of each kind is the same when the kernel has forgotten all names and inodes of it.
pub fn cold_caches_show_the_same(stage: &mut Stage<'_>) -> anyhow::Result<Judged> {
    if OpenOptions::new().write(true).open(DROP_CACHES).is_err() {
        return Ok(Judged::Lacking("caches that may be emptied, which is root's"));
    }
    let names = ["kept", "changed", "removed", "renamed", "replaced"];
    for layer in 0..3 {
        fs::create_dir_all(stage.at(&format!("dir-{layer}/deep/deeper")))?;
        for name in names {
            fs::write(stage.at(&format!("dir-{layer}/deep/{name}")), format!("{name} in {layer}").repeat(500))?;
        }
        fs::hard_link(stage.at(&format!("dir-{layer}/deep/kept")), stage.at(&format!("dir-{layer}/linked")))?;
        symlink("deep/kept", stage.at(&format!("dir-{layer}/symbolic")))?;
        stage.commit()?;
        let deep = stage.at(&format!("dir-{layer}/deep"));
        OpenOptions::new().append(true).open(deep.join("changed"))?.write_all(b", and more")?;
        fs::remove_file(deep.join("removed"))?;
        fs::rename(deep.join("renamed"), stage.at(&format!("dir-{layer}/moved")))?;
        fs::remove_file(deep.join("replaced"))?;
        fs::create_dir(deep.join("replaced"))?;
        fs::remove_dir(deep.join("deeper"))?;
        fs::create_dir(deep.join("deeper"))?;
    }
    let inodes = match (stage.promises.inode_numbers_survive_a_remount, stage.promises.origins_of_nodes_are_kept) {
        (true, true) => Inodes::Compared,
        (true, false) => Inodes::OfFilesCompared,
        (false, _) => Inodes::Ignored,
    };
    let mut before = stage.read()?;
    stage.edit(|_, _| {
        rustix::fs::sync();
        fs::write(DROP_CACHES, "2").context("cannot empty the caches")
    })?;
    stage.look();
    let mut after = stage.read()?;
    tree::forget_all(&mut before, &stage.promises);
    tree::forget_all(&mut after, &stage.promises);
    if !stage.promises.numbers_of_names_survive_a_remount {
        for (path, facts) in &mut before {
            facts.links = after.get(path).map_or(facts.links, |now| now.links);
        }
    }
    let changes = tree::changes(&before, &after, inodes);
    let changes: Vec<String> = changes.iter().map(|change| format!("with cold caches {change}")).collect();
    ensure!(changes.is_empty(), "{}", changes.join("\n"));
    Ok(Judged::Held)
}
