//! A file of two names is said to have three.
//!
//! Origin: HL-02. containers/fuse-overlayfs#192, #183 and #435.

use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn look(&self, tree: &mut Tree, _: &Notes) {
        for facts in tree.values_mut().filter(|facts| facts.kind != 'd' && facts.links > 1) {
            facts.links += 1;
        }
    }
}
