//! Runs a detector against each bug, and says which it caught.
//!
//! *Holds*: it is shown first what is right, once through a mount and once by a driver: whoever sees something there sees nothing of worth.
//! *Never*: the name of a bug to the detector.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use layerlab_engine::driver;
use layerlab_engine::sys::process::raise_file_limit;
use layerlab_properties::alone::{Alone, PLACE};
use layerlab_properties::machine::Host;
use layerlab_properties::status::SKIPPED;
use layerlab_properties::subjects::{self, Subject};

use super::detector::{Attendant, Detector, Verdict};
use super::fuse::serve::DEVICE;
use super::ground::Furnished;
use super::mounted::MountedBug;
use crate::bug::{Bug, Home, NothingIsWrong, ThroughFuse};
use crate::catalogue::Entry;
use crate::seeded::Seeded;

/// What is right is called so.
pub const NOTHING: &str = "nothing-is-wrong";

/// What is right, once for each way in which one of `entries` is shown.
fn right_ones(entries: &[&Entry]) -> Vec<&'static dyn Bug> {
    let mut ways: Vec<(Home, ThroughFuse)> = Vec::new();
    for entry in entries {
        let way = (entry.bug.home(), entry.bug.through_fuse());
        let is_shown = !matches!(way, (Home::Store(_), _) | (_, ThroughFuse::Hidden(_)));
        if is_shown && !ways.contains(&way) {
            ways.push(way);
        }
    }
    // A few, for as long as the command lasts.
    ways.into_iter().map(|(home, through)| &*Box::leak(Box::new(NothingIsWrong(home, through))) as &dyn Bug).collect()
}

/// Our programs, which a detector calls.
pub struct Programs {
    /// `layerlab-bugs`
    pub bugs: PathBuf,
    /// `layerlab-driver`
    pub driver: PathBuf,
}

/// How often it said what.
#[derive(Default)]
struct Tally {
    caught: usize,
    saw_nothing: usize,
    cannot_run: usize,
    no_answer: usize,
    false_alarms: usize,
}

/// Shows `detector` each of `entries`, and tells what it says, with what it printed if `is_told_all`. The exit code is 0 where it caught
/// every bug that it could run against, and nothing else, and 77 where it could run against none.
pub fn compare(
    alone: &Alone,
    entries: &[&Entry],
    detector: &Detector,
    programs: &Programs,
    is_told_all: bool,
) -> anyhow::Result<u8> {
    if detector.program.starts_with(PLACE) {
        bail!("{} is hidden while bugs are mounted: move the program out of {PLACE}", detector.program.display());
    }
    // The mounts that are shown hold whatever a suite has open, and we for each of it more than one.
    raise_file_limit()?;
    let mut tally = Tally::default();
    let right = right_ones(entries).into_iter().map(|right| (NOTHING, right));
    // The ways in which it cannot run even where nothing is wrong: what it says there of bugs says nothing.
    let mut cannot_run: Vec<(Home, ThroughFuse)> = Vec::new();
    for (name, bug) in right.chain(entries.iter().map(|entry| (&*entry.name, entry.bug))) {
        let began = Instant::now();
        let way = (bug.home(), bug.through_fuse());
        let (verdict, said) = if cannot_run.contains(&way) {
            (Verdict::CannotRun("nor can it where nothing is wrong".to_owned()), String::new())
        } else {
            let shown = alone.in_memory(|place| show(alone, (name, bug), detector, programs, place))?;
            shown.unwrap_or_else(|error| (Verdict::NoAnswer(format!("{error:#}")), String::new()))
        };
        if name == NOTHING && matches!(verdict, Verdict::CannotRun(_)) {
            cannot_run.push(way);
        }
        println!("{:<11} {name} {:.1} s", word(&verdict), began.elapsed().as_secs_f64());
        if let Verdict::CannotRun(why) | Verdict::NoAnswer(why) = &verdict {
            println!("    {why}");
        }
        let is_false = name == NOTHING && matches!(verdict, Verdict::Caught | Verdict::NoAnswer(_));
        if is_told_all || is_false {
            print!("{said}");
        }
        match verdict {
            _ if is_false => tally.false_alarms += 1,
            _ if name == NOTHING => {}
            Verdict::NoAnswer(_) => tally.no_answer += 1,
            Verdict::SawNothing => tally.saw_nothing += 1,
            Verdict::Caught => tally.caught += 1,
            Verdict::CannotRun(_) => tally.cannot_run += 1,
        }
    }
    let Tally { caught, saw_nothing, cannot_run, no_answer, false_alarms } = tally;
    println!(
        "of {} bugs {caught} caught, {saw_nothing} not seen, {cannot_run} not run, {no_answer} without an answer",
        entries.len()
    );
    if false_alarms > 0 {
        println!("it saw something where nothing is wrong, or gave no answer there, so that nothing of this counts");
    }
    match saw_nothing + no_answer + false_alarms {
        0 if caught == 0 => Ok(SKIPPED),
        failures => Ok(u8::from(failures > 0)),
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::SawNothing => "saw nothing",
        Verdict::Caught => "caught",
        Verdict::CannotRun(_) => "cannot run",
        Verdict::NoAnswer(_) => "no answer",
    }
}

/// Shows it one bug.
fn show(
    alone: &Alone,
    (name, bug): (&str, &'static dyn Bug),
    detector: &Detector,
    programs: &Programs,
    place: &Path,
) -> anyhow::Result<(Verdict, String)> {
    let cannot = |why: String| Ok((Verdict::CannotRun(why), String::new()));
    let socket = place.join("socket");
    let asked = UnixListener::bind(&socket)?;
    // A suite may ask as any user.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let output = place.join("said");
    let room = place.join("tmp");
    fs::create_dir(&room)?;
    match bug.home() {
        Home::Mount(_) if !Path::new(DEVICE).exists() => cannot(format!("there is no {DEVICE}")),
        Home::Mount(subject) => {
            if let ThroughFuse::Hidden(why) = bug.through_fuse() {
                return cannot(why.to_owned());
            }
            let inner = subjects::all().into_iter().find(|one| one.name() == subject);
            let seeded = Seeded::around(name, bug, Box::new(Furnished(inner.context("it is in no subject")?)));
            let (layers, merged) = (place.join("layers"), place.join("merged"));
            fs::create_dir(&layers)?;
            fs::create_dir(&merged)?;
            let host = Host::probe(true).on(&layers)?;
            if let Some(why) = seeded.refusal(&host).or_else(|| seeded.refusal_on(&layers)) {
                return cannot(why);
            }
            let mut mounted = MountedBug::begin(seeded, bug.through_fuse(), &layers, &merged)?;
            let asks =
                |word: &str| script(place, word, &[&programs.bugs, Path::new("--ask"), &socket, Path::new(word)]);
            let mut variables: Vec<(&str, OsString)> = vec![
                ("TMPDIR", room.into()),
                ("LAYERLAB_SUBJECT", "mount".into()),
                ("LAYERLAB_MERGED", merged.into()),
                ("LAYERLAB_REMOUNT", asks("remount")?),
                ("LAYERLAB_COMMIT", asks("commit")?),
            ];
            variables.extend(mounted.layers()?);
            let shown = detector.run(alone, &variables, &output, &asked, &mut mounted);
            let ended = mounted.end();
            let shown = shown?;
            // What it began is gone by now: what keeps the mount is ours.
            ended.map(|()| shown)
        }
        Home::Driver(driver) => {
            let root = place.join("root");
            fs::create_dir(&root)?;
            if let Some(why) = driver::refusal(driver, &root) {
                return cannot(why);
            }
            let mut words: Vec<&Path> = vec![&programs.driver, Path::new("--driver"), Path::new(driver)];
            if name != NOTHING {
                words.extend([Path::new("--bug"), Path::new(name)]);
            }
            words.extend([Path::new("--data-root"), &root]);
            let variables = [
                ("TMPDIR", room.into()),
                ("LAYERLAB_SUBJECT", "driver".into()),
                ("LAYERLAB_DRIVER", script(place, "driver", &words)?),
            ];
            detector.run(alone, &variables, &output, &asked, &mut Nobody)
        }
        Home::Store(_) => cannot("a store of images has neither a path nor a driver's command line".to_owned()),
    }
}

/// A program that calls these words with whatever it is given.
fn script(place: &Path, name: &str, words: &[&Path]) -> anyhow::Result<OsString> {
    let mut text = OsString::from("#!/bin/sh\nexec");
    for word in words {
        text.push(" '");
        text.push(word.to_str().with_context(|| format!("{} is no text", word.display()))?.replace('\'', "'\\''"));
        text.push("'");
    }
    text.push(" \"$@\"\n");
    let path = place.join(name);
    fs::write(&path, text.as_encoded_bytes())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path.into_os_string())
}

impl Attendant for MountedBug {
    fn attend(&mut self, word: &str) -> anyhow::Result<String> {
        match word {
            "remount" => self.remount()?,
            "commit" => self.commit()?,
            _ => bail!("there is only remount and commit"),
        }
        let quoted = |text: &OsString| format!("'{}'", text.to_string_lossy().replace('\'', "'\\''"));
        Ok(self.layers()?.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect())
    }
}

/// A driver is asked by its command line.
struct Nobody;

impl Attendant for Nobody {
    fn attend(&mut self, word: &str) -> anyhow::Result<String> {
        bail!("a driver has no {word}")
    }
}
