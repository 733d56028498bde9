//! Images: their configurations, the layers they need, their names, and what this host knows of them beside.

use std::collections::BTreeSet;
use std::path::Path;

use super::Scope;
use super::books::Books;
use super::finding::{Fault, Findings, Remedy};
use super::place::{Place, names_in};
use super::text::Text;
use crate::image::Digest;
use crate::layer::chain_ids;

pub(super) fn check(place: &Place, books: &Books, scope: &Scope, findings: &mut Findings) {
    for (path, mode) in [(place.configurations(), 0o700), (place.facts(), 0o700), (place.chains(), 0o755)] {
        if !path.is_dir() {
            let what = format!("the directory {} is missing", shown(place, &path));
            let fault = if path == place.configurations() {
                Fault::ImageConfig
            } else if path == place.facts() {
                Fault::ImageFacts
            } else {
                Fault::LayerRecord
            };
            // An empty one would make all layers nobody's.
            let remedy = match fault == Fault::ImageConfig && !(books.layers.is_empty() && books.directories.is_empty())
            {
                true => Remedy::Advice(
                    "put it back, or mount what lies there: without it no layer is known to be needed".to_owned(),
                ),
                false => Remedy::MakeDirectory { mode },
            };
            findings.add(fault, &path, what, remedy);
        }
    }
    check_names(place, books, findings);
    check_layers(place, books, findings);
    check_facts(place, books, findings);
    if scope.is_all() {
        check_distribution(place, findings);
    }
}

fn shown(place: &Place, path: &Path) -> String {
    path.strip_prefix(&place.data_root).unwrap_or(path).display().to_string()
}

fn is_here(books: &Books, id: &Digest) -> bool {
    books.images.contains_key(id) || books.broken_images.contains(id)
}

fn check_names(place: &Place, books: &Books, findings: &mut Findings) {
    let mut lost = BTreeSet::new();
    for (repository, names) in &books.names {
        for (name, image) in names {
            let id = image.parse::<Digest>().ok();
            if id.as_ref().is_some_and(|id| is_here(books, id)) {
                continue;
            }
            match id.filter(|id| !books.origins(id).is_empty()) {
                Some(id) => drop(lost.insert(id)),
                None => {
                    let remedy = match has_layers_of_nobody(books) {
                        false => Remedy::ForgetName { repository: repository.clone(), name: name.clone() },
                        true => Remedy::Advice(
                            "load or build the image again: layers are here that may be its own, and nothing else tells of them"
                                .to_owned(),
                        ),
                    };
                    let what = format!("{name} means the image {image}, which is not here");
                    findings.add(Fault::DanglingName, &place.repositories(), what, remedy);
                }
            }
        }
    }
    for id in lost {
        let path = place.configurations().join(id.hex());
        let what = format!("the configuration of image {} is missing, which has names", id.short());
        findings.image(&id, Fault::ImageConfig, &path, what, books.fetch_config(&id));
    }
}

/// Whether a layer is here that no image knows: an image that lost its configuration may have it, and its name is the last word of it.
fn has_layers_of_nobody(books: &Books) -> bool {
    books.layers.keys().any(|chain| !books.known.contains_key(chain))
}

fn check_layers(place: &Place, books: &Books, findings: &mut Findings) {
    for (chain_id, known) in &books.known {
        if books.layers.contains_key(chain_id) {
            continue;
        }
        let with_layer =
            books.images.iter().filter(|(_, config)| chain_ids(&config.view().rootfs.diff_ids).contains(chain_id));
        let images: Vec<&str> = with_layer.map(|(id, _)| id.short()).collect();
        let what = format!("the layer {} of image {} is missing", known.diff_id, images.join(", "));
        let path = place.chains().join(chain_id.hex());
        findings.layer(chain_id, Fault::ImageLayer, &path, what, books.fetch_layer(chain_id));
    }
}

fn check_facts(place: &Place, books: &Books, findings: &mut Findings) {
    for hex in names_in(&place.facts()).unwrap_or_default() {
        let directory = place.facts().join(&hex);
        let Some(id) = Digest::from_hex(&hex).ok().filter(|id| is_here(books, id)) else {
            // An image that can come back has its parent then.
            if Digest::from_hex(&hex).is_ok_and(|id| !books.origins(&id).is_empty()) {
                continue;
            }
            let what = format!("facts are kept of the image {hex}, which is not here");
            findings.add(Fault::ImageFacts, &directory, what, Remedy::Remove);
            continue;
        };
        for (name, is_sound) in [
            ("parent", &is_image as &dyn Fn(&Books, &str) -> bool),
            ("lastUpdated", &|_: &Books, text: &str| text.parse::<jiff::Timestamp>().is_ok()),
        ] {
            let path = directory.join(name);
            let what = match Text::read(&path) {
                Text::Missing => continue,
                Text::Is(text) if is_sound(books, &text) => continue,
                Text::Is(text) => format!("{name} of image {} says {text:?}, which leads nowhere", id.short()),
                Text::Unreadable(why) => format!("{name} of image {} cannot be read: {why}", id.short()),
            };
            findings.image(&id, Fault::ImageFacts, &path, what, Remedy::Remove);
        }
    }
}

fn is_image(books: &Books, text: &str) -> bool {
    text.parse().is_ok_and(|id| is_here(books, &id))
}

fn check_distribution(place: &Place, findings: &mut Findings) {
    let home = place.image().join("distribution");
    if !home.is_dir() {
        let what = "the directory distribution is missing, which tells what layers are called in registries";
        return findings.add(Fault::Distribution, &home, what, Remedy::MakeDirectory { mode: 0o700 });
    }
    let by_diff = home.join("v2metadata-by-diffid/sha256");
    for name in names_in(&by_diff).unwrap_or_default() {
        let path = by_diff.join(&name);
        let is_list = matches!(Text::read(&path), Text::Is(text) if serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok());
        if !is_list {
            let what = format!("what is known of the layer {name} in registries cannot be read");
            findings.add(Fault::Distribution, &path, what, Remedy::Remove);
        }
    }
    let by_digest = home.join("diffid-by-digest/sha256");
    for name in names_in(&by_digest).unwrap_or_default() {
        let path = by_digest.join(&name);
        let is_digest = matches!(Text::read(&path), Text::Is(text) if text.parse::<Digest>().is_ok());
        if !is_digest {
            let what = format!("what the blob {name} unpacks to cannot be read");
            findings.add(Fault::Distribution, &path, what, Remedy::Remove);
        }
    }
}
