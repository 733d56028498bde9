//! A campaign over one kind of store: what was kept first, then fresh cases in several threads; it says what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};

use super::case::{Campaign, Failure};
use super::counterexample::Counterexample;
use super::laws::{self, Law};
use super::{Act, Kind};
use crate::again;
use crate::campaign::Counts;
use crate::counterexample::kept;
use crate::pace::{self, Pace};
use crate::requirement::{self, Requirement};
use crate::results::Break;

/// How to run it.
pub struct Order<'a> {
    /// The laws; all when none is named, and those that are none of a store's are passed over.
    pub laws: &'a [String],
    /// The directory below which stores lie.
    pub place: PathBuf,
    /// What that is on.
    pub backing: String,
    /// The kernel's release.
    pub kernel: String,
    /// Where the random numbers begin.
    pub seed: u64,
    /// How many threads.
    pub threads: u64,
    /// The numbers of the cases of a thread.
    pub cases: &'a (dyn Fn(u64) -> Box<dyn Iterator<Item = u64>> + Sync),
    /// When no further case is begun.
    pub pace: Pace,
    /// How many acts a case has.
    pub length: usize,
    /// Whether to show how often each kind of act was done.
    pub counts: bool,
    /// What may not be without anything to judge.
    pub required: &'a [Requirement],
}

/// Those of `wanted` that are a store's; all when none is wanted.
pub fn chosen(wanted: &[String]) -> Vec<&'static dyn Law> {
    let is_wanted = |law: &&'static dyn Law| wanted.is_empty() || wanted.iter().any(|name| name == law.name());
    laws::ALL.iter().copied().filter(is_wanted).collect()
}

/// What came of it.
#[derive(Debug)]
pub struct Came {
    /// Whether every law held.
    pub is_held: bool,
    /// What was done, and what the laws made of it.
    pub counts: Counts,
    /// The laws that broke.
    pub broken: BTreeMap<String, Break>,
}

/// Runs it.
pub fn held(kind: &Kind, order: &Order<'_>) -> anyhow::Result<Came> {
    let laws = chosen(order.laws);
    let begin = |place: &std::path::Path| kind.begin(place);
    let campaign = Campaign { begin: &begin, laws: &laws, place: order.place.clone(), length: order.length };
    let begun = Instant::now();
    let again = known(kind, &campaign, order)?;
    let parts: Vec<anyhow::Result<(Counts, Option<Failure>)>> = std::thread::scope(|scope| {
        let campaign = &campaign;
        let threads: Vec<_> =
            (0..order.threads).map(|thread| scope.spawn(move || part(campaign, order, thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for part in parts {
        let (counted, failure) = part?;
        counts.merge(counted);
        failures.extend(failure);
    }
    failures.sort_by_key(|failure| failure.seed);
    let is_held = failures.is_empty() && again.is_empty();
    let mut broken: BTreeMap<String, Break> =
        again.into_iter().filter_map(|(law, shown)| law.map(|law| (law, shown))).collect();
    for failure in &failures {
        let shown = tell(failure, kind, order)?;
        broken.extend(failure.broken.law.map(|law| (law.to_owned(), shown)));
    }
    if order.counts {
        counts.lines().for_each(|line| println!("{line}"));
        let never = counts.missing(&Act::WORDS);
        if !never.is_empty() {
            println!("never drawn: {}", never.join(", "));
        }
    }
    println!(
        "{} on {}: {} acts from seed {} in {:.1} s, {}",
        kind.name(),
        order.backing,
        counts.total(),
        order.seed,
        begun.elapsed().as_secs_f64(),
        if is_held { "every law held" } else { "a law broke" }
    );
    for (why, idle) in counts.idle(laws.iter().map(|law| law.name()), &kind.name()) {
        if let Some(word) = requirement::forbidding(order.required, &idle) {
            bail!("{word} is required, but judges nothing of {} on {}: {why}", kind.name(), order.backing);
        }
        println!("skipped {} of {} on {}: {why}", idle.join(", "), kind.name(), order.backing);
    }
    Ok(Came { is_held, counts, broken })
}

/// The cases of one thread; it stops at the first that breaks a law.
fn part(campaign: &Campaign<'_>, order: &Order<'_>, thread: u64) -> anyhow::Result<(Counts, Option<Failure>)> {
    unshare(CloneFlags::CLONE_FS).context("cannot have a working directory of its own")?;
    let mut counts = Counts::default();
    for case in (order.cases)(thread) {
        if order.pace.is_over() {
            break;
        }
        if let Err(failure) = campaign.run(order.seed.wrapping_add(case), &mut counts) {
            // What it was at may have been cut off.
            if pace::is_ended() {
                break;
            }
            return Ok((counts, Some(failure)));
        }
    }
    Ok((counts, None))
}

/// Runs what broke a law before; which laws still break, if it is a law.
fn known(kind: &Kind, campaign: &Campaign<'_>, order: &Order<'_>) -> anyhow::Result<Vec<(Option<String>, Break)>> {
    let mut broken = Vec::new();
    for (path, known) in kept::<Counterexample>(&kind.name()).context("cannot read what is kept")? {
        if known.backing != order.backing {
            continue;
        }
        match campaign.replay(&known.acts, &mut Counts::default()) {
            Err(failure) => {
                let script = std::fs::read_to_string(path.with_extension("sh")).ok();
                let why = Some(failure.findings.join("; "));
                broken.push((failure.law.map(str::to_owned), Break { why, script }));
                println!("{}: still broken by {}", failure.law.unwrap_or("a case that cannot go on"), path.display());
                failure.findings.iter().for_each(|finding| println!("{finding}"));
            }
            Ok(()) => again::forgotten(known.law.as_deref(), &path),
        }
    }
    Ok(broken)
}

fn tell(failure: &Failure, kind: &Kind, order: &Order<'_>) -> anyhow::Result<Break> {
    let Failure { seed, length, acts, broken } = failure;
    let law = broken.law.unwrap_or("a case that cannot go on");
    let version = env!("CARGO_PKG_VERSION");
    println!("{law}: broken by {} of layerlab {version} on {}, kernel {}", kind.name(), order.backing, order.kernel);
    println!("seed {seed}, {length} acts, of which {} show it:", acts.len());
    acts.iter().for_each(|act| println!("  {act:?}"));
    broken.findings.iter().for_each(|finding| println!("{finding}"));
    let kept = Counterexample {
        law: broken.law.map(str::to_owned),
        subject: kind.name(),
        backing: order.backing.clone(),
        kernel: order.kernel.clone(),
        seed: *seed,
        acts: acts.clone(),
        findings: broken.findings.clone(),
    };
    let paths = kept.keep().context("cannot keep the counterexample")?;
    println!("kept, and run first next time: {}", paths.json.display());
    println!("for any engine with docker's words: {}", paths.script.display());
    println!("as a page for scenarios/cases/regressions: {}\n", paths.page.display());
    let script = std::fs::read_to_string(&paths.script).context("cannot read the script of a counterexample")?;
    Ok(Break { why: Some(broken.findings.join("; ")), script: Some(script) })
}
