//! What every ID on a page belongs to, so that all IDs of one layer, image or container have one colour.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::escape;
use crate::books::Books;
use crate::moment::Moment;

/// Digits of an ID that are shown.
pub(super) const SHORT: usize = 12;
/// The golden angle: hues that follow each other lie far apart, and none comes twice.
const GOLDEN_DEGREES: f64 = 137.508;
const FIRST_HUE: f64 = 250.0;

/// A full ID, its first 12 digits, or overlay2's short name of a layer.
static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12}|[A-Z2-7]{26})\b").expect("a valid expression"));

/// What an ID is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Number of the layer, image or container, from 0.
    pub(super) thing: usize,
    /// What the layer, image or container is called: `layer 2 of httpd:latest`.
    pub(super) of: String,
    /// What the ID is to it: `chain ID`.
    pub(super) role: &'static str,
}

/// Every ID that the books of a run know.
#[derive(Debug, Default)]
pub(super) struct Ids {
    known: BTreeMap<String, Known>,
    things: usize,
}

impl Ids {
    /// Those of all moments; an ID stays known when its thing is gone.
    pub(super) fn of(moments: &[Moment]) -> Ids {
        let mut ids = Ids::default();
        for moment in moments {
            moment.books.iter().for_each(|books| ids.take(books));
            ids.take_records(moment);
        }
        ids
    }

    fn take(&mut self, books: &Books) {
        for image in &books.images {
            let name = image.names.first().cloned().unwrap_or_else(|| short(&image.id).to_owned());
            for (at, chain_id) in image.chain.iter().enumerate() {
                let of = format!("layer {} of {name}", at + 1);
                let thing = self.add(chain_id, None, &of, "chain ID");
                if let Some(layer) = books.layers.get(chain_id) {
                    self.add(&layer.cache_id, Some(thing), &of, "cache ID");
                    self.add(&layer.diff_id, Some(thing), &of, "diff ID");
                }
            }
            let thing = self.add(&image.id, None, &format!("image {name}"), "image ID");
            for digest in &image.digests {
                let digest = digest.rsplit(':').next().unwrap_or_default();
                self.add(digest, Some(thing), &format!("image {name}"), "manifest digest");
            }
        }
        for layer in books.layers.values() {
            let thing = self.add(&layer.chain_id, None, "a layer of no image", "chain ID");
            self.add(&layer.cache_id, Some(thing), "a layer of no image", "cache ID");
            self.add(&layer.diff_id, Some(thing), "a layer of no image", "diff ID");
        }
        for container in &books.containers {
            let thing = self.add(&container.id, None, &format!("container {}", container.name), "container ID");
            let writable = format!("the writable layer of {}", container.name);
            self.add(&container.mount_id, Some(thing), &writable, "mount ID");
        }
    }

    /// Records that tie one more ID to a layer: its short name below `l/`, and the digest it was pulled by.
    fn take_records(&mut self, moment: &Moment) {
        for (path, text) in moment.entries.iter().filter_map(|(path, entry)| Some((path, entry.text.as_ref()?))) {
            let parts: Vec<&str> = path.split('/').collect();
            match parts[..] {
                [_, directory, "link"] => self.tie(text.trim(), directory.trim_end_matches("-init"), "short name"),
                ["image", _, "distribution", "diffid-by-digest", _, digest] => {
                    self.tie(digest, text.trim().trim_start_matches("sha256:"), "digest of the compressed layer");
                }
                _ => {}
            }
        }
    }

    fn tie(&mut self, id: &str, to: &str, role: &'static str) {
        if let Some(Known { thing, of, .. }) = self.known.get(to).cloned() {
            self.add(id, Some(thing), &of, role);
        }
    }

    /// The first meaning of an ID holds; without a `thing` it is one of its own.
    fn add(&mut self, id: &str, thing: Option<usize>, of: &str, role: &'static str) -> usize {
        if let Some(known) = self.known.get(id) {
            return known.thing;
        }
        let next = self.things;
        let thing = thing.unwrap_or(next);
        if !id.is_empty() {
            self.things = self.things.max(thing + 1);
            self.known.insert(id.to_owned(), Known { thing, of: of.to_owned(), role });
        }
        thing
    }

    /// What an ID or its first 12 digits stand for.
    pub(super) fn find(&self, id: &str) -> Option<(&str, &Known)> {
        let mut from = self.known.range(id.to_owned()..);
        let (full, known) = from.next().filter(|(full, _)| full.starts_with(id))?;
        let is_unique = full == id || from.next().is_none_or(|(next, _)| !next.starts_with(id));
        (is_unique && id.len() >= SHORT).then_some((full.as_str(), known))
    }

    /// The attributes that colour an element of this ID.
    pub(super) fn colour(&self, id: &str) -> String {
        self.find(id).map_or_else(String::new, |(_, known)| {
            format!(" data-thing=\"{0}\" style=\"--h:{1}\"", known.thing, hue(known.thing))
        })
    }

    /// Text with each ID in it coloured, shortened, and explained when pointed at.
    pub(super) fn mark(&self, text: &str) -> String {
        let mut marked = String::new();
        let mut done = 0;
        for found in ID.find_iter(text) {
            let id = found.as_str();
            let known = self.find(id);
            if known.is_none() && id.len() != 64 {
                continue;
            }
            marked += &escape(&text[done..found.start()]);
            marked += &self.chip(id);
            done = found.end();
        }
        marked + &escape(&text[done..])
    }

    /// One ID as it stands in text: all digits are there, those after the twelfth do not show.
    pub(super) fn chip(&self, id: &str) -> String {
        let title = match self.find(id) {
            Some((full, known)) => format!("{} of {}: {full}", known.role, known.of),
            None => id.to_owned(),
        };
        let (shown, rest) = id.split_at_checked(SHORT).filter(|_| id.len() == 64).unwrap_or((id, ""));
        let rest =
            if rest.is_empty() { String::new() } else { format!("<span class=\"rest\">{}</span>", escape(rest)) };
        format!("<span class=\"id\"{} title=\"{}\">{}{rest}</span>", self.colour(id), escape(&title), escape(shown))
    }
}

/// The hue of a layer, image or container, in degrees.
fn hue(thing: usize) -> String {
    format!("{:.0}", (FIRST_HUE + thing as f64 * GOLDEN_DEGREES) % 360.0)
}

/// The first 12 digits.
pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (Ids, String, String) {
        let (chain, cache) = ("ab".repeat(32), "cd".repeat(32));
        let mut ids = Ids::default();
        let thing = ids.add(&chain, None, "layer 1 of w", "chain ID");
        ids.add(&cache, Some(thing), "layer 1 of w", "cache ID");
        (ids, chain, cache)
    }

    #[test]
    fn the_ids_of_one_layer_have_one_colour_long_or_short() {
        let (ids, chain, cache) = ids();
        assert_eq!(ids.colour(&chain), ids.colour(&cache));
        assert_eq!(ids.colour(&chain[..12]), ids.colour(&chain));
        assert!(!ids.colour(&chain).is_empty());
        assert_eq!(ids.colour(&"ef".repeat(32)), "");
    }

    #[test]
    fn an_id_is_shortened_but_whole_and_the_text_around_it_is_escaped() {
        let (ids, chain, _) = ids();
        let marked = ids.mark(&format!("<b> sha256:{chain} 0123456789ab"));
        assert!(marked.starts_with("&lt;b&gt; sha256:<span class=\"id\""), "{marked}");
        assert!(marked.contains(&format!(">{}<span class=\"rest\">{}</span>", &chain[..12], &chain[12..])), "{marked}");
        assert!(marked.contains(&format!("chain ID of layer 1 of w: {chain}")), "{marked}");
        assert!(marked.ends_with("</span> 0123456789ab"), "an unknown short number is left alone: {marked}");
    }
}
