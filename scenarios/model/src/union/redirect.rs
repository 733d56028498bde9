//! Redirects: where in the layers below something lies whose name does not lead there any more.
//!
//! *Source*: overlayfs, "redirect_dir"; `ovl_set_redirect` and `ovl_get_redirect` of `fs/overlayfs/dir.c`. *Holds*: what has a redirect keeps it, and
//! a name becomes a path when a name is too little.

use super::Union;
use crate::inode::{At, Body};
use crate::text::Text;

/// The longest path that a redirect may be (`redirect_max`, a parameter of the kernel's module).
const REDIRECT_BYTES_MAX: usize = 256;

impl Union {
    /// What the upper `inode`, by the name at `path`, has below is to be found when it has another name, in the same directory or in any. Whether
    /// the redirect for that is short enough.
    pub fn redirect(&mut self, inode: usize, path: &[Text], is_same_directory: bool) -> bool {
        let about = &self.upper.inodes[inode];
        let (lies_below, needs_path) = match &about.body {
            Body::Directory(directory) => (!directory.below.is_empty(), !is_same_directory),
            _ => (about.copied.content_is_below, !is_same_directory || about.copied.names_below > 1),
        };
        let Some(name) = path.last().filter(|_| lies_below) else { return true };
        let is_enough = |redirect: &Text| !needs_path || redirect.as_bytes().starts_with(b"/");
        if about.copied.redirect.as_ref().is_some_and(is_enough) {
            return true;
        }
        let redirect = if needs_path { self.path_below(inode, path) } else { name.clone() };
        let is_short = redirect.as_bytes().len() <= REDIRECT_BYTES_MAX || !needs_path;
        if is_short {
            self.upper.inodes[inode].copied.redirect = Some(redirect);
        }
        is_short
    }

    /// Names from the nearest directory above that has a path for a redirect, or from the root.
    fn path_below(&self, inode: usize, path: &[Text]) -> Text {
        let mut below = Vec::new();
        for depth in (1..=path.len()).rev() {
            let at = match depth == path.len() {
                true => Some(At { layer: self.lowers.len(), inode }),
                false => self.at(&path[..depth]).map(|seen| seen.top()),
            };
            let redirect = at.and_then(|at| self.inode(at).copied.redirect.as_ref().filter(|_| self.is_upper(at)));
            let part = redirect.unwrap_or(&path[depth - 1]).as_bytes();
            below.splice(..0, part.iter().copied());
            if part.starts_with(b"/") {
                break;
            }
            below.insert(0, b'/');
        }
        Text(below)
    }
}
