//! Whether all that lies below a data root is what it should be: ours or dockerd's, sound or damaged.
//!
//! *Why*: dockerd passes damaged layers and images over without a word to whoever lists them, and `docker pull` does not mend one:
//! what is lost shows months later, when the image is saved or its container is started.
//!
//! *Holds*: a check changes nothing, and opens what no engine would; every layer's tar is put together again and its digest
//! compared; books that are changed meanwhile are waited for, layers that are removed meanwhile stay until they have been read. A
//! repair ([`repair`]) touches nothing but what was found to be wrong.
//!
//! *Never*: an engine or a store is opened, since opening them lays directories out and clears what others left.
//!
//! *Proved by*: `engine/tests/check`, which plants each fault in a sound store.
//!
//! ```text
//! books.rs        what the files of `image/<driver>` and `containers` say, and those that say nothing that can be read
//! images.rs       configurations, their digests, facts                     layers.rs      records, chain IDs, parents, sizes
//! names.rs        repositories.json, and what else tells names
//! content.rs      the bytes of layers and their sizes                      tree.rs        what a layer's tar makes of a tree
//! compare.rs      what lies on disk against that tree                      attributes.rs  modes, owners, times, xattrs
//! inherited.rs    what a whole tree has from below                         btrfs.rs       subvolumes
//! acl.rs          access control lists                                     text.rs        a file of the books, as far as it can be read
//! directories.rs  the driver's directories: missing, of nobody             linked.rs      short names, lower, scratch directories
//! containers.rs   mounts, records, layers of containers                    leftovers.rs   notes, staging places, mounts of commands that are gone
//! place.rs        where things lie, for each driver                        finding.rs     one thing that is wrong, and what mends it
//! origins.rs      where something lost can come from again                 users.rs       who uses a layer just now
//! repair.rs       mends findings, in rounds                                mend.rs        does what one remedy says
//! fetch.rs        layers and configurations, again                         fetcher.rs     a pull of some layers only
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::image::Digest;
use crate::store::{Lock, StoreError};

mod acl;
mod attributes;
mod books;
mod btrfs;
mod compare;
mod containers;
mod content;
mod directories;
mod fetch;
mod fetcher;
mod finding;
mod images;
mod inherited;
mod layers;
mod leftovers;
mod linked;
mod mend;
mod names;
mod origins;
mod place;
pub mod repair;
mod text;
mod tree;
mod users;

pub use attributes::Attributes;
pub use finding::{About, Fault, Finding, PassedOver, Remedy};
pub use place::Place;
pub use repair::{Means, RepairError, repair};

use books::Books;
use finding::Findings;

/// What keeps a data root from being checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Nothing there is an engine's.
    #[error(
        "{} is no data root: it has no directory `image/DRIVER` and no layers of a driver; name another with --data-root",
        .0.display()
    )]
    NoDataRoot(PathBuf),
    /// Several drivers were used there.
    #[error("{} has layers of several storage drivers ({drivers}): choose one with --storage-driver", data_root.display())]
    SeveralDrivers { data_root: PathBuf, drivers: String },
    /// A driver whose directories are not known here.
    #[error(
        "the layers of the storage driver {name} cannot be checked: {reason}; those of overlay2, overlay, vfs, btrfs and \
         fuse-overlayfs can"
    )]
    UnknownDriver { name: String, reason: String },
    /// A dockerd works there, which keeps its books in memory.
    #[error(
        "a dockerd works on {}: it would write its books over what a repair has mended; stop it first", .0.display()
    )]
    Dockerd(PathBuf),
    /// No image is called so.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// A directory that must be listed cannot be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a check has looked at, and what it found.
#[derive(Debug)]
pub struct Report {
    /// The storage driver whose books and layers were checked.
    pub driver: &'static str,
    /// How many images, layers and containers were looked at.
    pub images: usize,
    pub layers: usize,
    pub containers: usize,
    /// Whether a dockerd works there: what it is making just now looks like what nobody needs, so that such is not looked for.
    pub is_dockerds: bool,
    /// What could not be judged of layers.
    pub passed_over: Vec<PassedOver>,
    /// All that is wrong, in the order in which it matters: books of images first, leftovers last.
    pub findings: Vec<Finding>,
}

/// What is looked at: all, or some images with their layers.
struct Scope {
    images: Option<BTreeSet<Digest>>,
    layers: Option<BTreeSet<Digest>>,
}

impl Scope {
    fn is_all(&self) -> bool {
        self.images.is_none()
    }

    fn has_image(&self, image: &Digest) -> bool {
        self.images.as_ref().is_none_or(|images| images.contains(image))
    }

    fn has_layer(&self, chain_id: &Digest) -> bool {
        self.layers.as_ref().is_none_or(|layers| layers.contains(chain_id))
    }
}

/// Checks all of a data root, or only the images called `names` and their layers.
pub fn check(place: &Place, names: &[String]) -> Result<Report, CheckError> {
    let lock = Lock::exclusive(&place.data_root)?;
    let (mut findings, books, scope) = find(place, names)?;
    // Reading all layers takes long: others may go on, but none of these layers goes.
    let leases = layers::lease(place, &books, &scope)?;
    drop(lock);
    content::check(place, &books, &scope, &mut findings);
    drop(leases);
    let counted = |all: usize, some: &Option<BTreeSet<Digest>>| some.as_ref().map_or(all, BTreeSet::len);
    Ok(Report {
        driver: place.driver(),
        images: counted(books.images.len(), &scope.images),
        layers: counted(books.layers.len(), &scope.layers),
        containers: if scope.is_all() { books.containers.len() } else { 0 },
        is_dockerds: books.is_dockerds,
        passed_over: findings.take_passed_over(),
        findings: findings.in_scope(&scope),
    })
}

/// All that can be found without reading layers. To be called under the store's lock.
fn find(place: &Place, names: &[String]) -> Result<(Findings, Books, Scope), CheckError> {
    let mut findings = Findings::default();
    let books = Books::read(place, &mut findings)?;
    let scope = books.scope(names)?;
    images::check(place, &books, &scope, &mut findings);
    layers::check(place, &books, &scope, &mut findings);
    directories::check(place, &books, &scope, &mut findings);
    if scope.is_all() {
        containers::check(place, &books, &mut findings);
        leftovers::check(place, &books, &mut findings)?;
    }
    if books.is_dockerds {
        findings.drop_all(&[Fault::UnusedLayer, Fault::OrphanDirectory, Fault::HalfMade, Fault::LeftoverMount]);
    }
    Ok((findings, books, scope))
}

/// A layer of an image as its configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    diff_id: Digest,
    parent: Option<Digest>,
}

/// What the configurations of images say of layers, by chain ID.
type KnownLayers = BTreeMap<Digest, Known>;
