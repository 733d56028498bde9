//! What overlay2 and fuse-overlayfs keep beside the files of a layer: its short name, what it lies on, its scratch directory, its mark.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::books::{Books, short};
use super::directories::referred_to;
use super::finding::{Fault, Findings, Remedy};
use super::place::{Layout, Place, names_in};
use super::text::Text;
use crate::driver::{fuse_overlayfs, overlay2};
use crate::image::Digest;
use crate::sys::random::KernelEntropy;
use crate::world::Entropy;

const LINK_LENGTH: usize = 26;

/// A directory and the one that it lies on.
struct Stacked {
    id: String,
    below: Option<String>,
    /// The layer of an image that it is.
    chain: Option<Digest>,
}

pub(super) fn check(place: &Place, books: &Books, findings: &mut Findings) {
    let links = place.home().join("l");
    if !links.is_dir() {
        let what = format!("the directory {}/l with the short names of layers is missing", place.driver());
        findings.add(Fault::Link, &links, what, Remedy::MakeDirectory { mode: 0o700 });
    }
    let stack = stack(place, books);
    let mut names = BTreeMap::new();
    for layer in &stack {
        if let Text::Is(name) = Text::read(&place.directory(&layer.id).join("link"))
            && is_link(&name)
        {
            names.insert(layer.id.clone(), name);
        }
    }
    for layer in &stack {
        check_link(place, layer, &names, findings);
        check_lower(place, layer, &stack, &names, findings);
        let directory = place.directory(&layer.id);
        let work = directory.join("work");
        if layer.below.is_some() && !work.is_dir() {
            let what = format!("the scratch directory work of {} is missing", short(&layer.id));
            add(findings, layer, Fault::Directory, &work, what, Remedy::MakeDirectory { mode: work_mode(place) });
        }
        let committed = directory.join("committed");
        let is_below = stack.iter().any(|other| other.below.as_ref() == Some(&layer.id));
        if is_below && !committed.exists() {
            let what = format!("{} lacks the mark that something lies on it", short(&layer.id));
            let remedy = Remedy::Write { content: Vec::new(), mode: 0o600 };
            add(findings, layer, Fault::Lower, &committed, what, remedy);
        }
    }
    check_stale(place, books, &names, findings);
}

/// The mode of a layer's scratch directory.
fn work_mode(place: &Place) -> u32 {
    if place.layout() == Layout::FuseOverlayfs { fuse_overlayfs::WORK_MODE } else { overlay2::WORK_MODE }
}

/// All directories that are there and belong to something, with what they lie on.
fn stack(place: &Place, books: &Books) -> Vec<Stacked> {
    let mut stack = Vec::new();
    for (chain, record) in &books.layers {
        let Some(id) = record.cache_id.clone() else { continue };
        let below = books.parent(chain).map(|parent| books.cache_id(&parent).map(str::to_owned));
        match below {
            // What it lies on is found to be lost elsewhere.
            Some(None) => {}
            Some(Some(below)) => stack.push(Stacked { id, below: Some(below), chain: Some(chain.clone()) }),
            None => stack.push(Stacked { id, below: None, chain: Some(chain.clone()) }),
        }
    }
    // What is being made or removed is not whole.
    let is_whole = |container: &String| !books.begun.contains(container) && !books.is_going(container);
    for (container, mount) in books.mounts.iter().filter(|(container, _)| is_whole(container)) {
        let Some(id) = mount.mount_id.clone() else { continue };
        let init = mount.init_id.clone().unwrap_or_else(|| format!("{id}-init"));
        let top = books.top_of_container(container);
        let below = top.as_ref().map(|top| books.cache_id(top).map(str::to_owned));
        if let Some(below) = below.map_or(Some(None), |found| found.map(Some)) {
            stack.push(Stacked { id: init.clone(), below, chain: None });
        }
        stack.push(Stacked { id, below: Some(init), chain: None });
    }
    stack.retain(|layer| place.directory(&layer.id).is_dir());
    stack
}

fn check_link(place: &Place, layer: &Stacked, names: &BTreeMap<String, String>, findings: &mut Findings) {
    let path = place.directory(&layer.id).join("link");
    let target = target_of(&layer.id);
    let Some(name) = names.get(&layer.id) else {
        let what = format!("link, the short name of {}, is missing or none", short(&layer.id));
        let name = link_to(place, &target).unwrap_or_else(|| KernelEntropy.link_id());
        let remedy = Remedy::Write { content: name.into_bytes(), mode: 0o644 };
        return add(findings, layer, Fault::Link, &path, what, remedy);
    };
    let link = place.home().join("l").join(name);
    match fs::read_link(&link) {
        Ok(found) if found == target => {}
        Ok(found) => {
            let what = format!("the short name {name} leads to {}", found.display());
            add(findings, layer, Fault::Link, &link, what, Remedy::Link { target });
        }
        Err(_) => {
            let what = format!("the short name {name} of {} is not linked to it", short(&layer.id));
            add(findings, layer, Fault::Link, &link, what, Remedy::Link { target });
        }
    }
}

fn check_lower(
    place: &Place,
    layer: &Stacked,
    stack: &[Stacked],
    names: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    let path = place.directory(&layer.id).join("lower");
    let expected = lower_of(layer, stack, names);
    let (what, remedy) = match (Text::read(&path), expected) {
        (Text::Missing, Some(expected)) if expected.is_empty() => return,
        (Text::Is(text), Some(expected)) if text == expected => return,
        (Text::Is(_), Some(expected)) if expected.is_empty() => {
            ("names layers below, and it is a base layer".to_owned(), Remedy::Remove)
        }
        // What is below has lost its name: that is found there, and is mended first.
        (Text::Is(_), None) => return,
        (Text::Is(_), Some(expected)) => ("names other layers than those below".to_owned(), write(expected)),
        (Text::Missing, Some(expected)) => ("is missing".to_owned(), write(expected)),
        (Text::Missing, None) => {
            ("is missing".to_owned(), Remedy::Advice("mend the short names of the layers below first".to_owned()))
        }
        (Text::Unreadable(why), _) => {
            (format!("cannot be read: {why}"), Remedy::Advice("remove what is in its place".to_owned()))
        }
    };
    let what = format!("lower, which tells what {} lies on, {what}", short(&layer.id));
    add(findings, layer, Fault::Lower, &path, what, remedy);
}

fn write(text: String) -> Remedy {
    Remedy::Write { content: text.into_bytes(), mode: 0o644 }
}

/// What `lower` must say; nothing when a name is lost.
fn lower_of(layer: &Stacked, stack: &[Stacked], names: &BTreeMap<String, String>) -> Option<String> {
    let mut parts = Vec::new();
    let mut next = layer.below.clone();
    while let Some(id) = next {
        parts.push(format!("l/{}", names.get(&id)?));
        // A circle has no end.
        if parts.len() > stack.len() {
            return None;
        }
        next = stack.iter().find(|other| other.id == id)?.below.clone();
    }
    Some(parts.join(":"))
}

/// Short names that lead nowhere, or to a directory that has another.
fn check_stale(place: &Place, books: &Books, names: &BTreeMap<String, String>, findings: &mut Findings) {
    let home = place.home().join("l");
    let used = referred_to(books);
    for name in names_in(&home).unwrap_or_default() {
        let path = home.join(&name);
        let target = fs::read_link(&path).unwrap_or_default();
        let id = target.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        let is_stale = match id {
            None => true,
            Some(id) if !place.directory(&id).is_dir() => !used.contains(&id),
            Some(id) => names.get(&id).is_some_and(|own| *own != name && home.join(own).is_symlink()),
        };
        if is_stale {
            let what = format!("the short name {name} belongs to no layer");
            findings.add(Fault::Link, &path, what, Remedy::Remove);
        }
    }
}

fn add(findings: &mut Findings, layer: &Stacked, fault: Fault, path: &Path, what: String, remedy: Remedy) {
    match &layer.chain {
        Some(chain) => findings.layer(chain, fault, path, what, remedy),
        None => findings.add(fault, path, what, remedy),
    }
}

fn target_of(id: &str) -> PathBuf {
    Path::new("..").join(id).join("diff")
}

/// The short name that leads to `target` already.
fn link_to(place: &Place, target: &Path) -> Option<String> {
    let home = place.home().join("l");
    let mut names = names_in(&home).unwrap_or_default().into_iter().filter(|name| is_link(name));
    names.find(|name| fs::read_link(home.join(name)).is_ok_and(|found| found == target))
}

fn is_link(name: &str) -> bool {
    name.len() == LINK_LENGTH && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
