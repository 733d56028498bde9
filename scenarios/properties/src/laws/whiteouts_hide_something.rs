//! `whiteout(path) ⇒ path ∈ tree below`: a layer takes away nothing that is not there, once, and not where an opaque directory has
//! taken it away already: our own rule for what is written; readers take more (OCI image-spec, `layer.md`, "Whiteouts").
//!
//! Checklist: DF-10

use std::collections::BTreeSet;

use layerlab_model::operation::Operation;
use layerlab_model::text::Text;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;
use crate::tar::{self, OPAQUE};

pub static LAW: Whiteouts = Whiteouts;

pub struct Whiteouts;

impl Law for Whiteouts {
    fn name(&self) -> &'static str {
        "whiteouts-hide-something"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    /// The paths of the tree below.
    below: BTreeSet<Text>,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let below = std::mem::replace(&mut self.below, moment.before.merged.keys().cloned().collect());
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let tar = frozen.newest_tar(Diff::Own)?;
        let entries = tar::entries(&tar.bytes).map_err(|error| vec![format!("the tar cannot be read: {error}")])?;
        if entries.iter().all(|entry| entry.hides().is_none()) {
            return Ok(Judged::NotAsked);
        }
        let made: BTreeSet<&Text> = entries.iter().map(|entry| &entry.path).collect();
        let opaque: BTreeSet<Text> =
            entries.iter().filter(|entry| entry.name() == OPAQUE).map(|entry| entry.directory()).collect();
        let found = entries.iter().filter_map(|entry| {
            let hidden = entry.hides()?;
            let what = match () {
                () if !below.contains(&hidden) => "hides nothing",
                () if made.contains(&hidden) => "hides what the same layer has",
                () if is_below(&opaque, &hidden) => "hides what an opaque directory hides already",
                () => return None,
            };
            Some(format!("the whiteout {} {what}", entry.path))
        });
        verdict(found)
    }
}

/// Whether `path` is in one of `directories`, however deep.
fn is_below(directories: &BTreeSet<Text>, path: &Text) -> bool {
    let path = path.as_bytes();
    (0..path.len()).filter(|at| path[*at] == b'/').any(|end| directories.contains(&Text::from(&path[..end])))
}
