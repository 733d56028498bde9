//! Pushing an image for somebody who watches.

use std::io;

use super::messages::{Failure, print_line};
use super::progress::{PullLines, Silent};
use crate::container::{Engine, EngineError};
use crate::image::Reference;
use crate::registry::Pushed;
use crate::sys::terminal;

/// Pushes `reference`, which has a tag, or with `all_tags` every tag of its repository.
pub fn push(engine: &Engine, reference: &Reference, all_tags: bool, is_quiet: bool) -> Result<(), Failure> {
    let say = |text: String| if is_quiet { Ok(()) } else { print_line(text) };
    say(format!("The push refers to repository [{}]", reference.canonical_name()))?;
    // What dockerd says from here on comes among the progress, without a preface.
    let told = |error: EngineError| Failure::new(error.to_string());
    let tags = engine.tags_of(reference).map_err(told)?;
    if tags.is_empty() {
        let name = reference.familiar_name();
        return Err(Failure::new(format!("An image does not exist locally with the tag: {name}")));
    }
    let wanted = if all_tags { tags } else { vec![reference.clone()] };
    for tagged in wanted {
        let Pushed { manifest_digest, size_bytes } = push_one(engine, &tagged, is_quiet).map_err(told)?;
        let tag = tagged.tag().unwrap_or_default();
        say(format!("{tag}: digest: {manifest_digest} size: {size_bytes}"))?;
    }
    if is_quiet { print_line(reference) } else { Ok(()) }
}

fn push_one(engine: &Engine, reference: &Reference, is_quiet: bool) -> Result<Pushed, EngineError> {
    let output = io::stdout();
    match terminal::size(&output) {
        _ if is_quiet => engine.push(reference, &Silent),
        Some(size) => engine.push(reference, &PullLines::terminal(output, size.columns)),
        None => engine.push(reference, &PullLines::plain(output)),
    }
}
