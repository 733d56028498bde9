//! Containers: their records, what they are mounted on, and their own layers.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;

use super::books::{Books, ContainerRecord, is_cache_id, short};
use super::directories::referred_to;
use super::finding::{Fault, Findings, Remedy};
use super::place::{Layout, Place};
use super::text::Text;
use crate::image::Digest;

/// What is needed of a container's `hostconfig.json`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    auto_remove: bool,
}

pub(super) fn check(place: &Place, books: &Books, findings: &mut Findings) {
    let ids: BTreeSet<&String> = books.containers.keys().chain(books.mounts.keys()).collect();
    for id in ids {
        if books.begun.contains(id) {
            check_begun(place, id, findings);
            continue;
        }
        let record = books.containers.get(id);
        if books.is_going(id) {
            // It is going, in any order.
            check_going(place, books, id, findings);
            continue;
        }
        if is_builders(place, books, id) {
            let what = format!("a build that is gone left the writable layer {} that it copied files into", short(id));
            findings.add(Fault::HalfMade, &place.mounts().join(id), what, Remedy::Remove);
            continue;
        }
        if !books.mounts.contains_key(id) {
            check_unmounted(place, books, id, findings);
        } else {
            check_mount(place, books, id, findings);
            check_layers(place, books, id, findings);
        }
        match record {
            Some(Some(record)) => check_record(place, books, id, record, findings),
            _ => check_lost(place, books, id, findings),
        }
    }
}

/// A container that a command was making when it was cut off.
fn check_begun(place: &Place, id: &str, findings: &mut Findings) {
    for directory in [place.mounts().join(id), place.containers().join(id)].into_iter().filter(|path| path.is_dir()) {
        let what = format!("container {} was being made, and who made it is gone", short(id));
        findings.add(Fault::HalfMade, &directory, what, Remedy::Remove);
    }
}

/// Whether a mount is none of a container's: dockerd's builder copies files into a writable layer that has neither mount points of its
/// own nor a container (moby 20.10, daemon/images/image_builder.go, `NewRWLayer`), and leaves it when it is killed.
fn is_builders(place: &Place, books: &Books, id: &str) -> bool {
    let Some(mount) = books.mounts.get(id) else { return false };
    let has_mount_points =
        mount.mount_id.as_ref().is_none_or(|mount| books.directories.contains(&format!("{mount}-init")));
    let is_container = place.containers().join(id).exists() || place.mounts().join(id).join("init-id").exists();
    place.containers().is_dir() && !has_mount_points && !is_container
}

/// A container that its monitor was to remove, when that is gone. One that a command was removing is told by its note.
fn check_going(place: &Place, books: &Books, id: &str, findings: &mut Findings) {
    if goes_with_its_end(place, id) && !books.going.contains(id) && !books.is_used(place, id) {
        let what = format!("{} was to go with its end, and who would have removed it is gone", shown(books, id));
        findings.add(Fault::HalfMade, &place.containers().join(id), what, Remedy::Recover { removes: true });
    }
}

/// Whether a container was made with `--rm`.
fn goes_with_its_end(place: &Place, id: &str) -> bool {
    let text = fs::read(place.containers().join(id).join("hostconfig.json")).unwrap_or_default();
    serde_json::from_slice::<HostConfig>(&text).is_ok_and(|host| host.auto_remove)
}

fn shown(books: &Books, id: &str) -> String {
    let record = books.containers.get(id).and_then(Option::as_ref);
    match record.map(|record| record.name.trim_start_matches('/')).filter(|name| !name.is_empty()) {
        Some(name) => format!("container {} ({name})", short(id)),
        None => format!("container {}", short(id)),
    }
}

/// A container whose mount is not recorded.
fn check_unmounted(place: &Place, books: &Books, id: &str, findings: &mut Findings) {
    if !matches!(books.containers.get(id), Some(Some(_))) {
        return;
    }
    let path = place.mounts().join(id);
    let what = format!("nothing tells what {} is mounted on", shown(books, id));
    let remedy = match own_layer(place, books, id) {
        Some(mount_id) => Remedy::Write { content: mount_id.into_bytes(), mode: 0o644 },
        None => Remedy::Advice(
            "several directories could be its own: look for its files below the driver's directory, then remove the container"
                .to_owned(),
        ),
    };
    findings.add(Fault::MountRecord, &path.join("mount-id"), what, remedy);
}

/// The directory that must be the container's own: the only one of nobody that lies on an `-init` directory, if the container is
/// the only one without.
fn own_layer(place: &Place, books: &Books, id: &str) -> Option<String> {
    let is_lost = |other: &str| books.mounts.get(other).is_none_or(|mount| mount.mount_id.is_none());
    if books.containers.keys().any(|other| other != id && is_lost(other)) {
        return None;
    }
    let used = referred_to(books);
    let is_own = |name: &&String| {
        !used.contains(*name)
            && books.directories.contains(&format!("{name}-init"))
            && place.container_files(name).is_dir()
    };
    let mut fitting = books.directories.iter().filter(is_own);
    let found = fitting.next()?;
    fitting.next().is_none().then(|| found.clone())
}

fn check_mount(place: &Place, books: &Books, id: &str, findings: &mut Findings) {
    let directory = place.mounts().join(id);
    let mount = &books.mounts[id];
    let fault_of = |name: &str, sound: &dyn Fn(&str) -> bool| Text::fault(&directory.join(name), sound);
    let mut add = |name: &str, wrong: String, content: Option<String>, advice: &str| {
        let remedy = match content {
            Some(text) => Remedy::Write { content: text.into_bytes(), mode: 0o644 },
            None => Remedy::Advice(advice.to_owned()),
        };
        let what = format!("{name} of {} {wrong}", shown(books, id));
        findings.add(Fault::MountRecord, &directory.join(name), what, remedy);
    };
    if let Some(wrong) = fault_of("mount-id", &is_cache_id) {
        let init = mount.init_id.as_deref().and_then(|init| init.strip_suffix("-init")).map(str::to_owned);
        let found = init.filter(|id| books.directories.contains(id)).or_else(|| own_layer(place, books, id));
        add("mount-id", wrong, found, "look for its files below the driver's directory, then remove the container");
    }
    if let Some(wrong) = fault_of("init-id", &is_cache_id) {
        let init = mount.mount_id.as_ref().map(|mount_id| format!("{mount_id}-init"));
        let found = init.filter(|init| books.directories.contains(init));
        add("init-id", wrong, found, "mend its mount-id first");
    }
    let record = books.containers.get(id).and_then(Option::as_ref);
    let image = record.and_then(|record| record.image.parse::<Digest>().ok());
    let top = image.as_ref().and_then(|image| books.images.get(image));
    let top = top.map(|config| crate::layer::chain_ids(&config.view().rootfs.diff_ids).pop());
    let is_parent = |text: &str| {
        let parent = text.parse::<Digest>().ok();
        let is_here =
            parent.as_ref().is_some_and(|parent| books.layers.contains_key(parent) || books.known.contains_key(parent));
        is_here && top.as_ref().is_none_or(|top| *top == parent)
    };
    // A container on nothing has none.
    let is_base = matches!(top, Some(None)) || record.is_some_and(|record| record.image.is_empty());
    match fault_of("parent", &is_parent) {
        Some(wrong) if !(is_base && wrong == "is missing") => {
            let found = top.flatten().map(|top| top.to_string());
            add(
                "parent",
                wrong,
                found,
                "no image tells what it should be: copy its files out and remove the container",
            );
        }
        _ => {}
    }
}

fn check_layers(place: &Place, books: &Books, id: &str, findings: &mut Findings) {
    let mount = &books.mounts[id];
    let Some(mount_id) = &mount.mount_id else { return };
    let init_id = mount.init_id.clone().unwrap_or_else(|| format!("{mount_id}-init"));
    for (cache_id, which) in [(mount_id, "own layer"), (&init_id, "layer of mount points")] {
        let files = place.container_files(cache_id);
        // On nothing the legacy driver has one tree, like an image's.
        let is_base = place.layout() == Layout::Overlay && place.files(cache_id).is_dir();
        if !files.is_dir() && !is_base {
            let path = if place.directory(cache_id).is_dir() { files } else { place.directory(cache_id) };
            let what = format!("the {which} of {} is missing", shown(books, id));
            let kept = place.container_files(mount_id);
            let advice = match cache_id == mount_id {
                true => format!("what it had written is lost: remove {}", shown(books, id)),
                false => format!("copy what you need out of {}, and remove the container", kept.display()),
            };
            findings.add(Fault::Directory, &path, what, Remedy::Advice(advice));
        } else if place.layout() == Layout::Overlay && !is_base {
            check_lower_id(place, books, id, cache_id, findings);
        }
    }
}

/// What the legacy driver's layer of a container lies on.
fn check_lower_id(place: &Place, books: &Books, id: &str, cache_id: &str, findings: &mut Findings) {
    let path = place.directory(cache_id).join("lower-id");
    let top = books.top_of_container(id);
    let Some(expected) = top.as_ref().and_then(|top| books.cache_id(top)) else { return };
    // One that is lost is found there; this may be the right one.
    if place.directory(expected).is_dir() && !matches!(Text::read(&path), Text::Is(text) if text == expected) {
        let what = format!("lower-id of {} does not name the top layer of its image", shown(books, id));
        let remedy = Remedy::Write { content: expected.as_bytes().to_vec(), mode: 0o600 };
        findings.add(Fault::Lower, &path, what, remedy);
    }
    let work = place.directory(cache_id).join("work");
    if !work.is_dir() {
        let what = format!("the scratch directory work of {} is missing", shown(books, id));
        findings.add(Fault::Directory, &work, what, Remedy::MakeDirectory { mode: 0o700 });
    }
}

/// A container whose `config.v2.json` is lost, or no record.
fn check_lost(place: &Place, books: &Books, id: &str, findings: &mut Findings) {
    let (directory, mount) = (place.containers().join(id), place.mounts().join(id));
    let path = directory.join("config.v2.json");
    let mount_id = books.mounts.get(id).and_then(|mount| mount.mount_id.as_ref());
    // Where the records of all are away they are not lost one by one.
    let is_away = !place.containers().is_dir();
    let has_written = mount_id.is_some_and(|mount_id| may_hold_files(place, mount_id));
    if !is_away && !directory.join("hostconfig.json").exists() && !path.exists() && !has_written {
        for directory in [directory, mount].into_iter().filter(|path| path.is_dir()) {
            let what = format!("{} of container {} is there, and no record", directory.display(), short(id));
            findings.add(Fault::HalfMade, &directory, what, Remedy::Remove);
        }
        return;
    }
    let what =
        format!("the record of container {} {}", short(id), if path.exists() { "is no JSON" } else { "is missing" });
    let copy = mount_id.map(|id| format!("copy what you need out of {}, then ", place.container_files(id).display()));
    let left: Vec<_> =
        [directory, mount].iter().filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect();
    let advice = format!(
        "its settings are lost: {}remove {}; a second check finds what else is left",
        copy.unwrap_or_default(),
        left.join(" and ")
    );
    findings.add(Fault::ContainerRecord, &path, what, Remedy::Advice(advice));
}

/// Whether a container may have written something into its own layer: where that lies on others' files nobody can tell.
fn may_hold_files(place: &Place, mount_id: &str) -> bool {
    place.has_whole_trees() && place.layout() != Layout::Overlay
        || fs::read_dir(place.container_files(mount_id)).is_ok_and(|mut files| files.next().is_some())
}

fn check_record(place: &Place, books: &Books, id: &str, record: &ContainerRecord, findings: &mut Findings) {
    let directory = place.containers().join(id);
    let host = directory.join("hostconfig.json");
    let is_json = fs::read(&host).is_ok_and(|text| serde_json::from_slice::<serde_json::Map<_, _>>(&text).is_ok());
    if !is_json {
        let wrong = if host.exists() { "is no JSON" } else { "is missing" };
        let what = format!("hostconfig.json of {} {wrong}: its ports, mounts and limits are lost", shown(books, id));
        let advice = "commit the container, remove it and make it anew with its options".to_owned();
        findings.add(Fault::ContainerRecord, &host, what, Remedy::Advice(advice));
    }
    let image = record.image.parse::<Digest>().ok();
    if image.is_some_and(|image| !books.images.contains_key(&image)) {
        let what = format!("the image {} of {} is not here", record.image, shown(books, id));
        let advice =
            "pull or load the image again, or remove the container; an image that was removed by force leaves this";
        findings.add(Fault::ContainerImage, &directory.join("config.v2.json"), what, Remedy::Advice(advice.to_owned()));
    }
    let is_to_go = goes_with_its_end(place, id);
    if record.state.running && !books.is_watched(place, id) {
        let (left, remedy) = match books.survivor(id) {
            None => (String::new(), Remedy::Recover { removes: is_to_go }),
            Some(pid) => (
                format!(", while its process {pid} goes on"),
                Remedy::Advice(format!(
                    "start the dockerd that ran it, or end it with `kill -9 {pid}`; the next command of this engine ends it, too"
                )),
            ),
        };
        let what = format!("{} counts as running, and who watched it is gone{left}", shown(books, id));
        findings.add(Fault::Unwatched, &directory.join("config.v2.json"), what, remedy);
    }
}
