//! The driver's directories: those that are lost, and those of nobody.

use std::collections::BTreeSet;
use std::path::Path;

use super::books::Books;
use super::finding::{Fault, Findings, Remedy};
use super::place::{Layout, Place};
use super::{Scope, btrfs, content, linked};
use crate::sys;

pub(super) fn check(place: &Place, books: &Books, scope: &Scope, findings: &mut Findings) {
    for chain in books.layers.keys().filter(|chain| scope.has_layer(chain)) {
        let Some(cache_id) = books.cache_id(chain) else { continue };
        let files = place.files(cache_id);
        if !files.is_dir() {
            let path = if place.directory(cache_id).is_dir() { files } else { place.directory(cache_id) };
            let what = format!("the directory of the layer {} is missing", chain.short());
            match content::home_of(place, books, chain) {
                Some(found) => {
                    let what = format!("{what}, and its files are in {found}");
                    let record = place.chains().join(chain.hex()).join("cache-id");
                    let remedy = Remedy::Write { content: found.into_bytes(), mode: 0o644 };
                    findings.layer(chain, Fault::Directory, &record, what, remedy);
                }
                None => findings.layer(chain, Fault::Directory, &path, what, books.fetch_layer(chain)),
            }
        }
    }
    if place.has_short_names() {
        linked::check(place, books, findings);
    }
    if place.layout() == Layout::Btrfs {
        btrfs::check(place, books, scope, findings);
    }
    if scope.is_all() {
        check_orphans(place, books, findings);
    }
}

fn check_orphans(place: &Place, books: &Books, findings: &mut Findings) {
    let used = referred_to(books);
    // Without any image, or a place for containers, it may be that the books are away.
    let is_certain = !books.images.is_empty()
        && place.containers().is_dir()
        && books.broken_images.is_empty()
        && !findings.has_any(&[Fault::ImageConfig, Fault::DanglingName, Fault::Names])
        && is_every_layer_here(books)
        && books.layers.keys().all(|chain| books.cache_id(chain).is_some_and(|id| place.files(id).is_dir()))
        && books.mounts.values().all(|mount| mount.mount_id.as_ref().is_some_and(|id| place.directory(id).is_dir()))
        && books.containers.keys().all(|id| books.mounts.contains_key(id));
    for name in
        books.directories.iter().filter(|name| !used.contains(*name) && !books.begun_directories.contains(*name))
    {
        let remedy = match is_certain {
            true => Remedy::Remove,
            false => Remedy::Advice("mend the records first: it may be what one of them has lost".to_owned()),
        };
        let path = place.directory(name);
        let what = format!("the {} {name} belongs to no layer and no container", kind_of(&path));
        findings.add(Fault::OrphanDirectory, &path, what, remedy);
    }
}

fn kind_of(path: &Path) -> &'static str {
    match path.is_dir() {
        true if sys::btrfs::is_subvolume(path) => "subvolume",
        true => "directory",
        false => "file",
    }
}

/// The directories that records name.
pub(super) fn referred_to(books: &Books) -> BTreeSet<String> {
    let mut used: BTreeSet<String> = books.layers.values().filter_map(|record| record.cache_id.clone()).collect();
    for mount in books.mounts.values() {
        used.extend(mount.mount_id.clone());
        let init_id = mount.init_id.clone().or_else(|| mount.mount_id.as_ref().map(|id| format!("{id}-init")));
        used.extend(init_id);
    }
    used
}

/// Whether all layers that images need have a record.
pub(super) fn is_every_layer_here(books: &Books) -> bool {
    books.known.keys().all(|chain| books.layers.contains_key(chain))
}
