//! Takes the content out of a layer's files and puts it into a data-only layer, as composefs keeps it.
//!
//! *Source*: overlayfs, "Data-only lower layers". *Holds*: everything else that is known of a file stays as it is, its names and its
//! times included.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layerlab_engine::layer::copy_data;
use rustix::fs::{Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

const METACOPY: &str = "trusted.overlay.metacopy";
const REDIRECT: &str = "trusted.overlay.redirect";
const CAPABILITY: &str = "security.capability";

/// Moves what is in the files below `layer` to files in the directory `data`; their names begin with `prefix`, so that no two layers
/// have the same. A file whose content is in a layer below stays as it is.
pub fn move_contents(layer: &Path, data: &Path, prefix: &str) -> io::Result<()> {
    let mut moved = HashSet::new();
    let mut open = vec![layer.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_file() && attribute(&path, METACOPY)?.is_none() && moved.insert(meta.ino()) {
                let name = format!("{prefix}{}", moved.len());
                copy_data(&File::open(&path)?, &File::create_new(data.join(&name))?)?;
                empty(&path, &name)?;
            }
        }
    }
    Ok(())
}

/// Makes a file as long as it is and all hole, with the marks that lead to `name`.
fn empty(path: &Path, name: &str) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let capability = attribute(path, CAPABILITY)?;
    let file: File = OpenOptions::new().write(true).open(path)?;
    file.set_len(0)?;
    file.set_len(meta.len())?;
    rustix::fs::fsetxattr(&file, METACOPY, b"", XattrFlags::empty())?;
    rustix::fs::fsetxattr(&file, REDIRECT, format!("/{name}").as_bytes(), XattrFlags::empty())?;
    // To change the length took it away.
    if let Some(capability) = capability {
        rustix::fs::fsetxattr(&file, CAPABILITY, &capability, XattrFlags::empty())?;
    }
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(rustix::fs::futimens(&file, &times)?)
}

fn attribute(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 1024];
    match rustix::fs::lgetxattr(path, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
