//! The situations of one run: what broke before is arranged first; what breaks is told, and kept as JSON. A situation is code, so that there is
//! neither a script of it nor a page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Situation;
use crate::again;
use crate::backing::Backing;
use crate::campaign::{Campaign, Counts};
use crate::counterexample::{directory, kept_in};
use crate::laws::Judged;
use crate::pace::{self, Pace};
use crate::results::Break;

/// What is kept of one that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    situation: String,
    subject: String,
    backing: String,
    /// Whether root was not the first user namespace's.
    rootless: bool,
    kernel: String,
    /// What was not as it should be.
    findings: Vec<String>,
}

impl Kept {
    fn of(situation: &Situation, campaign: &Campaign<'_>, backing: &Backing, findings: Vec<String>) -> Kept {
        Kept {
            situation: situation.name().to_owned(),
            subject: campaign.subject.name(),
            backing: backing.to_string(),
            rootless: !campaign.host.promises().first_namespace,
            kernel: campaign.host.kernel.clone(),
            findings,
        }
    }

    fn keep(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let rootless = if self.rootless { "-rootless" } else { "" };
        let path = directory.join(format!("{}-{}{rootless}.json", self.situation, self.backing.replace('/', "-")));
        fs::create_dir_all(directory)?;
        fs::write(&path, serde_json::to_string_pretty(self)?)?;
        Ok(path)
    }

    /// What there is to tell of it: a situation is code, which its command arranges.
    fn told(&self) -> Break {
        let found = self.findings.iter().flat_map(|finding| finding.lines()).map(|line| format!("# {line}\n"));
        let script = format!("#!/bin/sh\n{}{}\n", found.collect::<String>(), self.command());
        Break { why: Some(self.findings.join("; ")), script: Some(script) }
    }

    /// What arranges it once more.
    fn command(&self) -> String {
        let Kept { situation, subject, backing, rootless, .. } = self;
        let rootless = if *rootless { " --rootless" } else { "" };
        format!("cargo xtask laws {situation} --subject {subject} --backing {backing}{rootless}")
    }
}

/// `situations` with where each is kept that broke before, those first.
fn known_first(
    situations: &[&'static Situation],
    campaign: &Campaign<'_>,
    backing: &Backing,
    directory: &Path,
) -> anyhow::Result<Vec<(&'static Situation, Option<PathBuf>)>> {
    let kept = kept_in::<Kept>(directory).context("cannot read what failed before")?;
    let rootless = !campaign.host.promises().first_namespace;
    let is_here = |kept: &Kept| kept.backing == backing.to_string() && kept.rootless == rootless;
    let path = |situation: &Situation| {
        let found = kept.iter().find(|(_, kept)| kept.situation == situation.name() && is_here(kept));
        found.map(|(path, _)| path.clone())
    };
    let mut known: Vec<_> = situations.iter().map(|situation| (*situation, path(situation))).collect();
    known.sort_by_key(|(_, path)| path.is_none());
    Ok(known)
}

/// What came of situations.
#[derive(Debug, Default)]
pub struct Arranged {
    /// Those that are not as they should be.
    pub broken: Vec<(&'static str, Break)>,
    /// Those for which there was no time.
    pub late: Vec<&'static str>,
}

/// Arranges each of `situations` once, as long as there is time; tells of those that are not as they should be and how to see them again, and names them. What holds now
/// is forgotten.
pub fn arranged(
    situations: &[&'static Situation],
    campaign: &Campaign<'_>,
    backing: &Backing,
    pace: Pace,
    counts: &mut Counts,
) -> anyhow::Result<Arranged> {
    arranged_in(&directory(&campaign.subject.name()), situations, campaign, backing, pace, counts)
}

/// The same, with what broke kept in `directory`.
fn arranged_in(
    directory: &Path,
    situations: &[&'static Situation],
    campaign: &Campaign<'_>,
    backing: &Backing,
    pace: Pace,
    counts: &mut Counts,
) -> anyhow::Result<Arranged> {
    let Campaign { subject, host, place, .. } = campaign;
    let Arranged { mut broken, mut late } = Arranged::default();
    for (situation, known) in known_first(situations, campaign, backing, directory)? {
        if pace.is_over() {
            late.push(situation.name());
            continue;
        }
        match situation.hold(*subject, host, place, &|_, _| ()) {
            Ok(judged) => {
                counts.judge(situation.name(), judged);
                if let Some(path) = known.filter(|_| judged == Judged::Held) {
                    again::forgotten(Some(situation.name()), &path);
                }
            }
            // What it was at may have been cut off.
            Err(_) if pace::is_ended() => late.push(situation.name()),
            Err(findings) => {
                if let Some(path) = known {
                    println!("still broken ({}):", path.display());
                }
                println!("{} broke of {} on {backing}, kernel {}:", situation.name(), subject.name(), host.kernel);
                findings.iter().for_each(|finding| println!("  {finding}"));
                if let Some(options) = subject.mount_options() {
                    println!("  mounted with {options}");
                }
                let kept = Kept::of(situation, campaign, backing, findings);
                println!("  again: {}", kept.command());
                let path = kept.keep(directory).context("cannot keep the situation")?;
                println!("  kept, and arranged first next time: {}", path.display());
                broken.push((situation.name(), kept.told()));
            }
        }
    }
    Ok(Arranged { broken, late })
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::machine::Host;
    use crate::subjects;

    fn situation(name: &str, act: fn(&mut super::super::Stage<'_>) -> anyhow::Result<Judged>) -> &'static Situation {
        Box::leak(Box::new(Situation { name: name.to_owned(), act }))
    }

    #[test]
    fn what_broke_is_arranged_first_and_forgotten_when_it_holds() {
        let (all, host, place) = (subjects::all(), Host::probe(false), tempfile::tempdir().unwrap());
        let campaign =
            Campaign { subject: &*all[0], host: &host, laws: &[], place: place.path().to_owned(), length: 0 };
        let (backing, directory) = (Backing::Tmpfs, place.path().join("kept"));
        let [other, breaks, holds] = [
            situation("another-situation", |_| Ok(Judged::Held)),
            situation("this-situation", |_| bail!("it broke")),
            situation("this-situation", |_| Ok(Judged::Held)),
        ];
        let lacking = situation("this-situation", |_| Ok(Judged::Lacking("matter")));
        let arranged = |situations: &[&'static Situation]| {
            let arranged =
                arranged_in(&directory, situations, &campaign, &backing, Pace::FREE, &mut Counts::default()).unwrap();
            arranged.broken
        };
        let known =
            |situations: &[&'static Situation]| known_first(situations, &campaign, &backing, &directory).unwrap();
        let broken = arranged(&[other, breaks]);
        let [("this-situation", Break { script: Some(script), .. })] = &broken[..] else { panic!("{broken:?}") };
        assert!(script.contains("\n# it broke\ncargo xtask laws this-situation "), "{script}");
        let [(first, Some(path)), (last, None)] = &known(&[other, breaks])[..] else { panic!("nothing is kept") };
        assert_eq!((first.name(), last.name()), ("this-situation", "another-situation"));
        let kept: Kept = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(kept.findings, ["it broke"]);
        assert!(kept.command().starts_with("cargo xtask laws this-situation --subject plain --backing tmpfs"));
        assert_eq!((arranged(&[lacking]).len(), path.exists()), (0, true), "it was not judged");
        assert_eq!((arranged(&[other, holds]).len(), path.exists()), (0, false));
        let none = Pace::of(std::time::Duration::ZERO);
        let late = arranged_in(&directory, &[breaks], &campaign, &backing, none, &mut Counts::default()).unwrap();
        assert_eq!((late.broken.len(), &late.late[..]), (0, &["this-situation"][..]));
    }
}
