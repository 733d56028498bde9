//! `tree(commit(image, change)) = change(tree(image))`: a container of an image that was committed, or exported and imported, has what a
//! container of the other image has, and the file that was given to it; nothing else came, changed or went. Where commits do not promise to see everything, a
//! file that looks as the one below stays that one.
//!
//! Checklist: DF-13~

use super::{Law, Moment, Watch, Weights, is_engines};
use crate::laws::{Judged, Verdict, verdict};
use crate::stores::archive::Content;

pub static LAW: Commits = Commits;

pub struct Commits;

impl Law for Commits {
    fn name(&self) -> &'static str {
        "commits-hold-the-change"
    }

    fn weights(&self) -> Weights {
        Weights { commits: 16, flattenings: 6, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let Some(made) = &moment.made else { return Ok(Judged::NotAsked) };
        let [before, after] = &made.trees;
        let is_new = |content: &Content| content.path.as_bytes() == b"new" && made.new.is_some();
        let is_compared = |content: &&Content| !is_new(content) && !is_engines(content.path.as_bytes());
        let lost = before.iter().filter(is_compared).filter(|content| !after.contains(content));
        let lost = lost.map(|content| format!("{} of the image below is gone, or another", content.path));
        let came = after.iter().filter(is_compared).filter(|content| !before.contains(content));
        let came = came.map(|content| format!("{} was in no image below", content.path));
        let given = made.new.as_ref().filter(|given| !after.iter().any(|one| is_new(one) && one.bytes == **given));
        let missed = given.map(|_| "the file that was given is not there as it was given".to_owned());
        verdict(lost.chain(came).chain(missed))
    }
}
