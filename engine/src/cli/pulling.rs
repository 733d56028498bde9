//! Pulling an image for somebody who watches.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::messages::{Failure, print, print_line};
use super::progress::{PullLines, Silent};
use crate::container::{Engine, EngineError};
use crate::image::manifest::Platform;
use crate::image::{Digest, Reference};
use crate::registry::{LayerEvent, PullProgress};
use crate::sys::terminal;

/// Pulls `reference` with its lines going to the standard output, for `docker pull`.
pub fn pull(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
    is_quiet: bool,
) -> Result<(), Failure> {
    let tagged = reference.clone().with_default_tag();
    let status = pull_with(engine, &tagged, platform, to_output(is_quiet).as_ref())?;
    if !is_quiet {
        print(&status)?;
        print(&platform_warning(engine, reference, platform))?;
    }
    print_line(tagged)
}

/// Pulls all tags of a repository, for `docker pull --all-tags`.
pub fn pull_all(
    engine: &Engine,
    repository: &Reference,
    platform: Option<&Platform>,
    is_quiet: bool,
) -> Result<(), Failure> {
    let progress = to_output(is_quiet);
    let mut is_newer = false;
    let mut has_begun = false;
    for tag in engine.registry_tags(repository)? {
        let tagged = repository.with_tag(&tag).map_err(|error| Failure::new(error.to_string()))?;
        let before = engine.image(&tagged.familiar()).map(|image| image.id).ok();
        let watched = Watched { progress: progress.as_ref(), has_begun: AtomicBool::new(has_begun) };
        let pulled = engine.pull_for(&tagged, platform, &watched).map_err(|error| watched.failure(&error))?;
        has_begun = true;
        is_newer |= before.as_ref() != Some(&pulled.image_id);
        if !is_quiet {
            print_line(format_args!("Digest: {}", pulled.manifest_digest))?;
        }
    }
    if !is_quiet {
        print(&outcome(&repository.familiar_name(), is_newer))?;
    }
    print_line(repository)
}

/// dockerd looks whether it got what was asked for; of what was pulled it looks at the tag `latest` only.
fn platform_warning(engine: &Engine, reference: &Reference, platform: Option<&Platform>) -> String {
    let name = reference.familiar_name();
    let (Some(wanted), Ok(image)) = (platform, engine.image(&name)) else { return String::new() };
    let view = image.config.view();
    if view.os == wanted.os && view.architecture == wanted.architecture {
        return String::new();
    }
    format!(
        "WARNING: image with reference {name} was found but does not match the specified platform: wanted {wanted}, \
         actual: {}/{}\n",
        view.os, view.architecture
    )
}

fn to_output(is_quiet: bool) -> Box<dyn PullProgress> {
    if is_quiet { Box::new(Silent) } else { lines(io::stdout()) }
}

/// Pulls the image that a container is to be made of, with the lines going to the standard error.
pub fn pull_missing(engine: &Engine, reference: &Reference) -> Result<(), Failure> {
    let tagged = reference.clone().with_default_tag();
    eprintln!("Unable to find image '{}' locally", tagged.familiar());
    let status = pull_with(engine, &tagged, None, lines(io::stderr()).as_ref())?;
    io::stderr().write_all(status.as_bytes()).map_err(unwritten)
}

/// Pulls the image that a build starts from, with the lines among those of the build. The failure's text is a reason.
pub fn pull_for_build(engine: &Engine, reference: &Reference, platform: Option<&Platform>) -> Result<(), Failure> {
    let before = engine.image(&reference.familiar()).map(|image| image.id).ok();
    let pulled = engine.pull_for(reference, platform, lines(io::stdout()).as_ref());
    let pulled = pulled.map_err(|error| Failure::new(error.to_string()))?;
    let status = status(reference, &pulled.manifest_digest, before.as_ref() != Some(&pulled.image_id));
    io::stdout().write_all(status.as_bytes()).map_err(unwritten)
}

fn lines<W: Write + AsFd + Send + 'static>(output: W) -> Box<dyn PullProgress> {
    match terminal::size(&output) {
        Some(size) => Box::new(PullLines::terminal(output, size.columns)),
        None => Box::new(PullLines::plain(output)),
    }
}

fn pull_with(
    engine: &Engine,
    reference: &Reference,
    platform: Option<&Platform>,
    progress: &dyn PullProgress,
) -> Result<String, Failure> {
    let before = engine.image(&reference.familiar()).map(|image| image.id).ok();
    let watched = Watched { progress, has_begun: AtomicBool::new(false) };
    let pulled = engine.pull_for(reference, platform, &watched).map_err(|error| watched.failure(&error))?;
    Ok(status(reference, &pulled.manifest_digest, before.as_ref() != Some(&pulled.image_id)))
}

/// Progress that remembers whether there was any.
struct Watched<'a> {
    progress: &'a dyn PullProgress,
    has_begun: AtomicBool,
}

impl Watched<'_> {
    /// What Docker's client says: an error that ends a pull under way reaches it among the progress, and is shown as it is.
    fn failure(&self, error: &EngineError) -> Failure {
        if self.has_begun.load(Ordering::Relaxed) { Failure::new(error.to_string()) } else { Failure::from(error) }
    }
}

impl PullProgress for Watched<'_> {
    fn pulling_from(&self, reference: &Reference) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.progress.pulling_from(reference);
    }

    fn event(&self, layer_short: &str, event: LayerEvent) {
        self.progress.event(layer_short, event);
    }
}

/// What came of a pull. `is_newer`: the reference means another image than before.
fn status(reference: &Reference, manifest_digest: &Digest, is_newer: bool) -> String {
    format!("Digest: {manifest_digest}\n{}", outcome(&reference.familiar(), is_newer))
}

fn outcome(name: &str, is_newer: bool) -> String {
    let what = if is_newer { "Downloaded newer image" } else { "Image is up to date" };
    format!("Status: {what} for {name}\n")
}

fn unwritten(error: io::Error) -> Failure {
    Failure::new(format!("cannot show the progress of the pull: {error}"))
}
