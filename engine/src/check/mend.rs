//! Does what one finding's remedy says. All of it is called under the store's lock, with what was found under it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use super::books::Books;
use super::finding::{About, Fault, Finding, Remedy};
use super::place::Place;
use super::repair::RepairError;
use super::text::Text;
use super::{btrfs, users};
use crate::driver::{self, Driver, DriverError};
use crate::image::Digest;
use crate::store::{atomic, failed, staging};
use crate::sys::mount;
use crate::sys::removal::remove_tree;

/// Mends what `finding` tells.
pub(super) fn mend(place: &Place, books: &Books, finding: &Finding) -> Result<(), RepairError> {
    let path = &finding.path;
    // The files of a layer are nobody's to change while somebody looks at them.
    let is_of_files = finding.fault == Fault::AddedFile
        || matches!(finding.remedy, Remedy::GiveAttributes(_) | Remedy::MakeSubvolume);
    if let Some(About::Layer(chain)) = finding.about.as_ref().filter(|_| is_of_files) {
        users::free(place, books, chain)?;
    }
    match &finding.remedy {
        Remedy::Write { content, mode } => {
            make_parent(path)?;
            Ok(atomic::write(path, content, *mode)?)
        }
        Remedy::WriteNames { content, .. } => {
            make_parent(path)?;
            Ok(atomic::write(path, content, 0o600)?)
        }
        Remedy::Remove => remove(place, path),
        Remedy::MakeDirectory { mode } => {
            make_parent(path)?;
            make_directory(path, *mode)
        }
        Remedy::Link { target } => {
            make_parent(path)?;
            let removed = fs::remove_file(path);
            removed.or_else(gone_is_fine).and_then(|()| symlink(target, path)).map_err(failed("link", path))?;
            Ok(())
        }
        Remedy::GiveAttributes(wanted) => Ok(wanted.give(path).map_err(failed("give its attributes to", path))?),
        Remedy::MakeSubvolume => btrfs::convert(place, &*driver(place)?, path),
        Remedy::Unmount => Ok(mount::unmount(path).map_err(failed("unmount", path))?),
        Remedy::ForgetName { repository, name } => forget(place, repository, name),
        Remedy::DropLayer(chain) => drop_layer(place, books, chain),
        Remedy::Advice(_)
        | Remedy::FetchLayer(_)
        | Remedy::FetchConfig(_)
        | Remedy::Finish
        | Remedy::Recover { .. } => Ok(()),
    }
}

fn driver(place: &Place) -> Result<Box<dyn Driver>, DriverError> {
    driver::open(Some(place.driver()), &place.data_root)
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Makes the directory that a record stands in, and is lost with it.
pub(super) fn make_parent(path: &Path) -> Result<(), RepairError> {
    match path.parent() {
        Some(parent) if !parent.is_dir() => make_directory(parent, 0o755),
        _ => Ok(()),
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), RepairError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("chmod", path))?;
    Ok(())
}

fn remove(place: &Place, path: &Path) -> Result<(), RepairError> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(failed("look at", path))?,
    };
    if !meta.is_dir() {
        return Ok(fs::remove_file(path).map_err(failed("remove", path))?);
    }
    if let Some(point) = mount::points_below(path).map_err(failed("look for mounts on", path))?.first() {
        return Err(RepairError::Mounted(point.display().to_string()));
    }
    if path.parent() == Some(&place.home())
        && let Some(name) = path.file_name().and_then(|name| name.to_str())
    {
        return Ok(driver(place)?.remove(name)?);
    }
    // A command may have come upon the same name since.
    if path.parent() == Some(&place.data_root.join("tmp")) {
        return if staging::remove_left(&place.data_root, path)? { Ok(()) } else { Err(RepairError::Changed) };
    }
    Ok(remove_tree(path).map_err(failed("remove", path))?)
}

/// The record goes first, all at once: none ever names a directory that is gone.
fn drop_layer(place: &Place, books: &Books, chain: &Digest) -> Result<(), RepairError> {
    let record = place.chains().join(chain.hex());
    let aside = place.image().join("layerdb/tmp").join(format!("removing-{}", chain.hex()));
    make_parent(&aside)?;
    fs::rename(&record, &aside).map_err(failed("remove", &record))?;
    remove_tree(&aside).map_err(failed("remove", &aside))?;
    match books.cache_id(chain) {
        Some(cache_id) => Ok(driver(place)?.remove(cache_id)?),
        None => Ok(()),
    }
}

fn forget(place: &Place, repository: &str, name: &str) -> Result<(), RepairError> {
    let path = place.repositories();
    let Text::Is(text) = Text::read(&path) else { return Err(RepairError::Changed) };
    let parsed = serde_json::from_str::<BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>>(&text);
    let mut file = parsed.map_err(|_| RepairError::Changed)?;
    if let Some(repositories) = file.get_mut("Repositories")
        && let Some(names) = repositories.get_mut(repository)
    {
        names.remove(name);
        if names.is_empty() {
            repositories.remove(repository);
        }
    }
    let text = serde_json::to_vec(&file).map_err(|_| RepairError::Changed)?;
    Ok(atomic::write(&path, &text, 0o600)?)
}
