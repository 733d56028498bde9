//! What failed once is run first: counterexamples that are kept, and the pages that became of some.

use std::path::Path;

use anyhow::Context;
use layerlab_model::operation::{Step, User};
use layerlab_scenarios::pages;

use crate::backing::Backing;
use crate::campaign::{Broken, Campaign, Failure};
use crate::case::prepare_thread;
use crate::counterexample::{self, Counterexample};
use crate::pace::{LATE, Pace};
use crate::page;
use crate::results::Break;
use crate::verdict;

/// Runs steps in a thread of its own, whose root directory they change.
fn replay(campaign: &Campaign<'_>, steps: &[Step]) -> anyhow::Result<Result<(), Broken>> {
    let replayed = std::thread::scope(|scope| {
        let replay = || prepare_thread().map(|()| campaign.replay(steps));
        scope.spawn(replay).join().map_err(|_| anyhow::anyhow!("a case cannot be replayed"))
    });
    Ok(replayed??)
}

/// Runs what failed before on this subject and backing; which laws still break, if it is a law. What holds now is forgotten; what there is no time for stays.
pub fn kept(campaign: &Campaign<'_>, backing: &Backing, pace: Pace) -> anyhow::Result<Vec<(Option<String>, Break)>> {
    let kept =
        counterexample::kept::<Counterexample>(&campaign.subject.name()).context("cannot read what failed before")?;
    let mut still = Vec::new();
    let is_watched = |law: &str| campaign.laws.iter().any(|watching| watching.name() == law);
    let is_meant =
        |kept: &Counterexample| kept.is_of(backing, campaign.host) && kept.law.as_deref().is_none_or(is_watched);
    for (path, kept) in kept.iter().filter(|(_, kept)| is_meant(kept)) {
        if pace.is_over() {
            println!("skipped what is kept ({}): {LATE}", path.display());
            continue;
        }
        let replayed = replay(campaign, &kept.steps).with_context(|| path.display().to_string())?;
        match replayed {
            Err(broken) => {
                println!("still broken ({}):", path.display());
                let script = std::fs::read_to_string(path.with_extension("sh")).ok();
                let why = Some(broken.findings.join("; "));
                still.push((broken.law.map(str::to_owned), Break { why, script }));
                let steps = kept.steps.clone();
                let failure = Failure { seed: kept.seed, length: steps.len(), steps, broken };
                print!("{}", verdict::of(&failure, campaign, backing)?);
            }
            Ok(()) => {
                forgotten(kept.law.as_deref(), path);
            }
        }
    }
    Ok(still)
}

/// Removes what is kept at `path` of a law that holds now.
pub fn forgotten(law: Option<&str>, path: &Path) {
    println!("holds now: {} ({}), forgotten", law.unwrap_or("goes on"), path.display());
    for extension in ["json", "sh", "md"] {
        // Another process may have been first.
        let _ = std::fs::remove_file(path.with_extension(extension));
    }
}

/// Runs the steps of every page of regressions; which laws they break. They are few, and every subject has to pass them.
pub fn pages(campaign: &Campaign<'_>, backing: &Backing, pace: Pace) -> anyhow::Result<Vec<(Option<String>, Break)>> {
    let mut broken_pages = Vec::new();
    for (page, told) in page::all_of(&pages::regressions())? {
        if pace.is_over() {
            println!("skipped the page {}: {LATE}", page.name());
            continue;
        }
        let steps: Vec<Step> = told.into_iter().map(|told| told.step).collect();
        if !campaign.host.has_other_user && steps.iter().any(|step| step.user == User::Other) {
            println!("skipped the page {}: its second user needs a second ID", page.name());
            continue;
        }
        if let Err(broken) = replay(campaign, &steps).with_context(|| page.path.display().to_string())? {
            println!("broken again ({}):", page.path.display());
            let why = Some(format!("the page {}: {}", page.name(), broken.findings.join("; ")));
            broken_pages.push((broken.law.map(str::to_owned), Break { why, script: None }));
            let seed = page.origin.get("seed").and_then(|seed| seed.parse().ok()).unwrap_or_default();
            let failure = Failure { seed, length: steps.len(), steps, broken };
            print!("{}", verdict::of(&failure, campaign, backing)?);
        }
    }
    Ok(broken_pages)
}
