//! What commands that are gone have left: notes, staging places, records aside, mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::books::{Books, listed};
use super::finding::{Fault, Findings, Remedy};
use super::place::Place;
use super::{CheckError, users};
use crate::image::Digest;
use crate::store::{INTENTS, staging};
use crate::sys::mount;

/// To be called under the store's lock: who would make a note or put a record aside holds it.
pub(super) fn check(place: &Place, books: &Books, findings: &mut Findings) -> Result<(), CheckError> {
    for path in notes(place)? {
        check_note(place, &path, findings);
    }
    for path in staging::left(&place.data_root)? {
        findings.add(Fault::HalfMade, &path, "a command that is gone left what it had unpacked", Remedy::Remove);
    }
    let aside = place.image().join("layerdb/tmp");
    for name in listed(&aside)? {
        findings.add(Fault::HalfMade, &aside.join(name), "a record was put aside and forgotten", Remedy::Remove);
    }
    check_mounts(place, books, findings);
    Ok(())
}

/// Notes of what commands were about to make or remove (`engine/src/container/intent.rs`).
fn notes(place: &Place) -> Result<Vec<PathBuf>, CheckError> {
    let directory = place.image().join(INTENTS);
    Ok(listed(&directory)?.into_iter().map(|name| directory.join(name)).collect())
}

/// What notes name in lines that begin with `word`.
pub(super) fn noted(place: &Place, word: &str) -> Result<BTreeSet<String>, CheckError> {
    let mut found = BTreeSet::new();
    for path in notes(place)? {
        let text = read_note(&path);
        let names = text.lines().filter_map(|line| line.strip_prefix(word)?.split(' ').next());
        found.extend(names.map(str::to_owned));
    }
    Ok(found)
}

/// The directories of containers that are being made, as the notes of that name them.
pub(super) fn begun_directories(place: &Place) -> Result<BTreeSet<String>, CheckError> {
    let texts: Vec<String> = notes(place)?.iter().map(|path| read_note(path)).collect();
    let making = texts.iter().filter(|text| text.lines().any(|line| line.starts_with("making ")));
    let directories = making.flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("cache ")));
    Ok(directories.map(str::to_owned).collect())
}

/// What a note says; one that was not written to its end is about nothing.
fn read_note(path: &Path) -> String {
    let is_whole = path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
    std::fs::read_to_string(path).ok().filter(|_| is_whole).unwrap_or_default()
}

fn check_note(place: &Place, path: &Path, findings: &mut Findings) {
    let text = read_note(path);
    let mut chains = text.lines().filter_map(|line| Digest::from_hex(line.strip_prefix("chain ")?).ok());
    // Layers of a removed image that somebody reads go with their reader.
    if chains.any(|chain| users::is_leased(place, &chain)) {
        return;
    }
    let is_engines = |line: &str| line.starts_with("volume ") || line.starts_with("container ");
    let remedy = match text.lines().any(is_engines) {
        false => Remedy::Remove,
        true => Remedy::Finish,
    };
    findings.add(Fault::HalfMade, path, "a command was killed while it made or removed layers", remedy);
}

/// Mounts on the driver's directories, but for those of containers that run or that somebody reads.
fn check_mounts(place: &Place, books: &Books, findings: &mut Findings) {
    let used = books.mounts.iter().filter(|(id, _)| books.is_used(place, id));
    let used: BTreeSet<&String> = used.filter_map(|(_, mount)| mount.mount_id.as_ref()).collect();
    for point in mount::points_below(&place.home()).unwrap_or_default() {
        let below = point.strip_prefix(place.home()).unwrap_or(&point);
        let id = below.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        if id.is_some_and(|id| used.contains(&id)) {
            continue;
        }
        findings.add(
            Fault::LeftoverMount,
            &point,
            "something is mounted, and no container runs there",
            Remedy::Unmount,
        );
    }
}
