//! The names of images: `repositories.json`, and what else tells of them when that is lost.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::books::{Books, short};
use super::finding::{Fault, Findings, Remedy};
use super::place::Place;
use crate::image::{Digest, Reference};
use crate::sys::reason::reason;

/// Repository, name, image.
pub(super) type Names = BTreeMap<String, BTreeMap<String, String>>;

/// `repositories.json`.
#[derive(Default, Serialize, Deserialize)]
struct File {
    #[serde(rename = "Repositories")]
    repositories: Names,
}

/// What is wrong with the file.
pub(super) struct Damage {
    wrong: String,
    /// Its text; nothing where there is something that cannot be read.
    text: Option<String>,
}

/// The names, or what is wrong with their file.
pub(super) fn read(path: &Path) -> Result<Names, Damage> {
    let damage = |wrong: String, text| Damage { wrong: format!("repositories.json {wrong}"), text };
    match fs::read(path) {
        Ok(text) => match serde_json::from_slice::<File>(&text) {
            Ok(file) => Ok(file.repositories),
            Err(error) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                Err(damage(format!("is no list of names: {error}"), Some(text)))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damage("is missing".into(), Some(String::new()))),
        Err(error) => Err(damage(format!("cannot be read: {}", reason(&error)), None)),
    }
}

/// Tells of a lost file, with the names that can be had back: those that stand in what is left of it, and those by which containers
/// were made. Which name an image got or lost after that nobody knows any more.
pub(super) fn report(place: &Place, books: &Books, damage: Damage, findings: &mut Findings) {
    let Some(text) = damage.text else {
        let advice = Remedy::Advice("let root read it, or remove what is in its place".to_owned());
        return findings.add(Fault::Names, &place.repositories(), damage.wrong, advice);
    };
    let mut file = File::default();
    let found = books.images_of_containers().chain(pairs(&text));
    for (name, image) in found {
        let Ok(reference) = Reference::parse(&name) else { continue };
        let reference = reference.with_default_tag();
        let names = file.repositories.entry(reference.familiar_name()).or_default();
        names.insert(reference.familiar(), image.to_string());
    }
    let has_name =
        |image: &&Digest| file.repositories.values().any(|names| names.values().any(|id| *id == image.to_string()));
    let nameless = books.images.keys().filter(|image| !has_name(image)).map(|image| image.short().to_owned()).collect();
    let names = file.repositories.values().flat_map(BTreeMap::keys).cloned().collect();
    let remedy = match serde_json::to_vec(&file) {
        Ok(content) => Remedy::WriteNames { content, names, nameless },
        Err(error) => Remedy::Advice(format!("write the file anew: {error}")),
    };
    findings.add(Fault::Names, &place.repositories(), damage.wrong, remedy);
}

/// All that looks like `"NAME":"sha256:…"` in a text that is no JSON any more.
fn pairs(text: &str) -> Vec<(String, Digest)> {
    let parts: Vec<&str> = text.split('"').collect();
    let triples = parts.windows(3).filter(|triple| triple[1].trim() == ":");
    let pairs = triples.filter_map(|triple| Some((triple[0].to_owned(), triple[2].parse().ok()?)));
    pairs.filter(|(name, _)| name.contains([':', '@'])).collect()
}

impl Books {
    /// The names by which containers were made of images that are here, the oldest first.
    fn images_of_containers(&self) -> impl Iterator<Item = (String, Digest)> {
        let records = self.containers.values().flatten();
        let mut made: Vec<_> = records
            .filter_map(|record| {
                let image: Digest = record.image.parse().ok().filter(|image| self.images.contains_key(image))?;
                let name = record.config.image.clone();
                // By its ID, whole or in part.
                let is_id = image.hex().starts_with(name.strip_prefix("sha256:").unwrap_or(&name));
                (!is_id).then(|| (record.created.parse::<jiff::Timestamp>().unwrap_or_default(), name, image))
            })
            .collect();
        made.sort();
        made.into_iter().map(|(_, name, image)| (name, image))
    }
}

/// What came back and what did not, in words.
pub(super) fn words(names: &[String], nameless: &[String]) -> String {
    let back = match names {
        [] => "it is written anew, without a name".to_owned(),
        _ => format!("it is written anew with the names that are still told ({})", names.join(", ")),
    };
    let lost = match nameless {
        [] => String::new(),
        _ => {
            let ids: Vec<&str> = nameless.iter().map(|id| short(id)).collect();
            format!("; no name is known of {}: give them one with `docker tag`", ids.join(", "))
        }
    };
    back + &lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_what_is_left_of_their_file() {
        let id = format!("sha256:{}", "a".repeat(64));
        let cut =
            format!(r#"{{"Repositories":{{"httpd":{{"httpd:latest":"{id}","httpd:2":"{id}","httpd:3":"sha256:aa"#);
        let found: Vec<String> = pairs(&cut).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, ["httpd:latest", "httpd:2"]);
        assert!(pairs("no names").is_empty());
    }
}
