//! Two files of layers on two file systems pass for one, so that an archive has the second as a link to the first.
//!
//! Origin: IN-04. Linux before 9c6d8f13e9da (xfstests overlay/067); containers/fuse-overlayfs 1f60815: a file's number was told as its own file system has it.

use layerlab_model::text::Text;
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Home, Notes};

/// Numbers are smaller; above it `xino` says which file system one is of.
const FILE_SYSTEMS: u64 = 1 << 40;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Mount("overlay-xino")
    }

    fn look(&self, tree: &mut Tree, _notes: &Notes) {
        let root = tree.get(&Text::default()).map_or(0, |root| root.identity.1);
        for facts in tree.values_mut() {
            let number = &mut facts.identity.1;
            // The one began to count with the root, the other when it was made.
            *number = if *number / FILE_SYSTEMS == root / FILE_SYSTEMS {
                number.wrapping_sub(root)
            } else {
                *number % FILE_SYSTEMS
            };
        }
    }
}
