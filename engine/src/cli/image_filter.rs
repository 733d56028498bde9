//! `docker images --filter`: which images are listed, and under which of their names.

use jiff::Timestamp;

use super::filters::{Filter, has_label, invalid, refused};
use super::glob;
use super::messages::Failure;
use crate::container::{Engine, ImageSummary};

/// What has been asked for. Patterns widen, everything else narrows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filters {
    dangling: Option<bool>,
    references: Vec<String>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    labels: Vec<String>,
}

impl Filters {
    /// Sorts `filters`; `created`: when the image of some name was made. `pattern`: the argument of the command, one more
    /// reference.
    pub fn new(
        filters: &[Filter],
        pattern: Option<&str>,
        created: impl Fn(&str) -> Result<Timestamp, Failure>,
    ) -> Result<Filters, Failure> {
        let mut sorted = Filters { references: pattern.map(str::to_owned).into_iter().collect(), ..Filters::default() };
        let mut dangling = Vec::new();
        for Filter { kind, value } in filters {
            match kind.as_str() {
                "dangling" => dangling.push(value.as_str()),
                "reference" => sorted.references.push(value.clone()),
                "before" => sorted.before = Some(created(value)?),
                "since" => sorted.since = Some(created(value)?),
                "label" => sorted.labels.push(value.clone()),
                other => return Err(invalid(other)),
            }
        }
        sorted.dangling = match dangling[..] {
            [] => None,
            _ if dangling.contains(&"true") => Some(true),
            _ if dangling.contains(&"false") => Some(false),
            _ => return Err(invalid(&format!("dangling=[{}]", dangling.join(" ")))),
        };
        Ok(sorted)
    }

    /// Those of `images` that are asked for, with the names that are. Without `all`, nameless images on which others lie are
    /// left out.
    pub fn choose(&self, engine: &Engine, images: Vec<ImageSummary>, all: bool) -> Result<Vec<ImageSummary>, Failure> {
        let mut labelled = Vec::new();
        for image in images {
            let has_labels = self.labels.is_empty() || {
                let config = engine.image(&image.id.to_string())?.config;
                let labels = config.view().config.as_ref().and_then(|config| config.labels.as_ref());
                self.labels.iter().all(|label| has_label(labels, label))
            };
            if has_labels {
                labelled.push(image);
            }
        }
        self.choose_named(labelled, all)
    }

    fn choose_named(&self, mut images: Vec<ImageSummary>, all: bool) -> Result<Vec<ImageSummary>, Failure> {
        let parents: Vec<_> = images.iter().filter_map(|image| image.parent.clone()).collect();
        let is_in_time = |image: &ImageSummary| {
            self.before.is_none_or(|before| image.created < before)
                && self.since.is_none_or(|since| image.created > since)
        };
        images.retain(|image| is_in_time(image) && (all || is_named(image) || !parents.contains(&image.id)));
        match self.dangling {
            Some(true) => images.retain(|image| image.tags.is_empty() && !parents.contains(&image.id)),
            Some(false) => images.retain(is_named),
            None => {}
        }
        if !self.references.is_empty() {
            let is_broken = self.references.iter().any(|pattern| !glob::is_pattern(pattern));
            if is_broken && images.iter().any(is_named) {
                return Err(refused("syntax error in pattern"));
            }
            let fits = |name: &String| self.references.iter().any(|pattern| glob::matches_reference(pattern, name));
            for image in &mut images {
                image.tags.retain(fits);
                image.digests.retain(fits);
            }
            images.retain(is_named);
        }
        Ok(images)
    }
}

fn is_named(image: &ImageSummary) -> bool {
    !image.tags.is_empty() || !image.digests.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::filters::filter;
    use crate::image::Digest;

    fn image(seed: &str, minute: u8, tags: &[&str], parent: Option<&str>) -> ImageSummary {
        ImageSummary {
            id: Digest::of(seed.as_bytes()),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            digests: Vec::new(),
            created: format!("2026-11-21T01:{minute:02}:00Z").parse().unwrap(),
            size_bytes: 1,
            parent: parent.map(|parent| Digest::of(parent.as_bytes())),
        }
    }

    fn filters(texts: &[&str], pattern: Option<&str>) -> Result<Filters, Failure> {
        let filters: Vec<Filter> = texts.iter().map(|text| filter(text).unwrap()).collect();
        Filters::new(&filters, pattern, |_| Ok("2026-11-21T01:02:00Z".parse().unwrap()))
    }

    /// Names of what is chosen; `-` for an image without any.
    fn chosen(texts: &[&str], pattern: Option<&str>, all: bool) -> String {
        let images = vec![
            image("late", 3, &["ubuntu:latest", "u2:v1"], Some("middle")),
            image("middle", 2, &[], Some("early")),
            image("early", 1, &["base:1"], None),
            image("loose", 2, &[], None),
        ];
        let chosen = filters(texts, pattern).unwrap().choose_named(images, all).unwrap();
        let name = |image: ImageSummary| if image.tags.is_empty() { "-".to_owned() } else { image.tags.join(",") };
        chosen.into_iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn images_are_chosen_as_dockerd_chooses_them() {
        let rows: [(&[&str], Option<&str>, bool, &str); 10] = [
            (&[], None, false, "ubuntu:latest,u2:v1 base:1 -"),
            (&[], None, true, "ubuntu:latest,u2:v1 - base:1 -"),
            (&["dangling=true"], None, false, "-"),
            (&["dangling=false"], None, false, "ubuntu:latest,u2:v1 base:1"),
            (&["dangling=false", "dangling=true", "dangling=1"], None, false, "-"),
            (&["before=x"], None, false, "base:1"),
            (&["since=x"], None, false, "ubuntu:latest,u2:v1"),
            (&[], Some("u*"), false, "ubuntu:latest,u2:v1"),
            (&["reference=u2"], Some("base"), false, "u2:v1 base:1"),
            (&[], Some("nosuch"), true, ""),
        ];
        for (texts, pattern, all, expected) in rows {
            assert_eq!(chosen(texts, pattern, all), expected, "{texts:?} {pattern:?} {all}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        let refused = |texts: &[&str]| filters(texts, None).unwrap_err().text;
        assert_eq!(refused(&["dangling=x"]), "Error response from daemon: Invalid filter 'dangling=[x]'");
        assert_eq!(refused(&["dangling=1"]), "Error response from daemon: Invalid filter 'dangling=[1]'");
        assert_eq!(refused(&["nope=x"]), "Error response from daemon: Invalid filter 'nope'");
        let broken = filters(&[], Some("[")).unwrap();
        let images = vec![image("a", 1, &["a:1"], None)];
        let text = "Error response from daemon: syntax error in pattern";
        assert_eq!(broken.choose_named(images, false).unwrap_err().text, text);
        assert!(broken.choose_named(Vec::new(), false).unwrap().is_empty());
    }
}
