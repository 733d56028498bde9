//! Where a case lies: at a path that options and tables of mounts cannot have as it is.
//!
//! *Source*: `mount(2)`'s options are parted by commas, and proc_pid_mountinfo(5) escapes a space. *Never*: a backslash, which overlayfs takes for an
//! escape in every path (`ovl_unescape` of `fs/overlayfs/params.c`), or a colon, at which fuse-overlayfs 1.10 parts them.

use std::io;
use std::path::Path;

use tempfile::{Builder, TempDir};

const ODD: &str = "a b,c-";

/// A new directory in `within`, at such a path if it can be `odd`.
pub(crate) fn made(within: &Path, odd: bool) -> io::Result<TempDir> {
    Builder::new().prefix(if odd { ODD } else { "case-" }).tempdir_in(within)
}
