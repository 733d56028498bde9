//! Pulling an image for somebody who watches.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::messages::Failure;
use super::progress::{PullLines, Silent};
use crate::container::{Engine, EngineError};
use crate::image::{Digest, Reference};
use crate::registry::{LayerEvent, PullProgress};
use crate::sys::terminal;

/// Pulls `reference` with its lines going to the standard output, for `docker pull`.
pub fn pull(engine: &Engine, reference: &Reference, is_quiet: bool) -> Result<(), Failure> {
    let tagged = reference.clone().with_default_tag();
    let mut output = io::stdout();
    if is_quiet {
        pull_with(engine, &tagged, &Silent)?;
    } else {
        if reference.is_name_only() {
            writeln!(output, "Using default tag: latest").map_err(unwritten)?;
        }
        let status = pull_with(engine, &tagged, lines(io::stdout()).as_ref())?;
        output.write_all(status.as_bytes()).map_err(unwritten)?;
    }
    writeln!(output, "{tagged}").map_err(unwritten)
}

/// Pulls the image that a container is to be made of, with the lines going to the standard error.
pub fn pull_missing(engine: &Engine, reference: &Reference) -> Result<(), Failure> {
    let tagged = reference.clone().with_default_tag();
    eprintln!("Unable to find image '{}' locally", tagged.familiar());
    let status = pull_with(engine, &tagged, lines(io::stderr()).as_ref())?;
    io::stderr().write_all(status.as_bytes()).map_err(unwritten)
}

/// Pulls the image that a build starts from, with the lines among those of the build. The failure's text is a reason.
pub fn pull_for_build(engine: &Engine, reference: &Reference) -> Result<(), Failure> {
    let before = engine.image(&reference.familiar()).map(|image| image.id).ok();
    let pulled = engine.pull(reference, lines(io::stdout()).as_ref());
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

fn pull_with(engine: &Engine, reference: &Reference, progress: &dyn PullProgress) -> Result<String, Failure> {
    let before = engine.image(&reference.familiar()).map(|image| image.id).ok();
    let watched = Watched { progress, has_begun: AtomicBool::new(false) };
    let pulled = engine.pull(reference, &watched).map_err(|error| watched.failure(&error))?;
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
    let what = if is_newer { "Downloaded newer image" } else { "Image is up to date" };
    format!("Digest: {manifest_digest}\nStatus: {what} for {}\n", reference.familiar())
}

fn unwritten(error: io::Error) -> Failure {
    Failure::new(format!("cannot show the progress of the pull: {error}"))
}
