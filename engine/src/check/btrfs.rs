//! Subvolumes: what btrfs needs so that a layer can be made on another.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use super::Scope;
use super::books::Books;
use super::finding::{Fault, Findings, Remedy};
use super::place::Place;
use super::repair::RepairError;
use crate::driver::Driver;
use crate::layer::{Files, OverlayXattr, copy_tree};
use crate::store::failed;
use crate::sys::btrfs;
use crate::sys::random::KernelEntropy;
use crate::world::Entropy;

/// Layers of images that are plain directories. Of a container nothing is made: its own may be one.
pub(super) fn check(place: &Place, books: &Books, scope: &Scope, findings: &mut Findings) {
    for chain in books.layers.keys().filter(|chain| scope.has_layer(chain)) {
        let Some(cache_id) = books.cache_id(chain) else { continue };
        let directory = place.directory(cache_id);
        if directory.is_dir() && !btrfs::is_subvolume(&directory) {
            let what = format!("the layer {} is a directory, and no subvolume", chain.short());
            // Where nothing can be a subvolume another copy would be none, too.
            let remedy = match btrfs::is_below(&directory) {
                true => Remedy::MakeSubvolume,
                false => Remedy::Advice("move the data root to btrfs, or use another storage driver".to_owned()),
            };
            findings.layer(chain, Fault::Subvolume, &directory, what, remedy);
        }
    }
}

/// Makes a subvolume of the plain directory of a layer. Both are whole whenever this ends: they change places at once, and the one that
/// is left over is a directory of nobody.
pub(super) fn convert(place: &Place, driver: &dyn Driver, directory: &Path) -> Result<(), RepairError> {
    let beside = KernelEntropy.hex_id();
    driver.create(&beside, None)?;
    let copy = place.directory(&beside);
    let copied =
        copy_tree(directory, &copy, Files::Copied, OverlayXattr::None).map_err(crate::driver::DriverError::from);
    let swapped = copied.map_err(RepairError::from).and_then(|()| {
        let swapped = rustix::fs::renameat_with(CWD, &copy, CWD, directory, RenameFlags::EXCHANGE);
        Ok(swapped.map_err(|errno| failed("rename", &copy)(io::Error::from(errno)))?)
    });
    driver.remove(&beside)?;
    swapped
}
