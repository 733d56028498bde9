//! Pages as detectors: replayed in a lab on our engine, whose storage driver has the bug.
//!
//! *Why*: a page is how most people will find out. *Holds*: a page counts only if it passes where nothing is wrong. *Never*: a bug of a mount, which
//! the engine leaves to the kernel, or of a store, which it is itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use layerlab_scenarios::target::layerlab::ENGINE_VARIABLE;

use crate::bug::{Bug, Home};

/// The folders of pages that are about layers.
const FOLDERS: [&str; 7] = ["archive", "build", "commit", "copy", "diff", "regressions", "whiteout"];
/// What stands before the name of a bug behind the end of a program.
const SEAL: &[u8] = b"\nlayerlab-bug:";
/// How long that may be.
const SEALED_BYTES_MAX: u64 = 256;
/// A program without a bug has this behind its end.
const NOTHING: &str = "nothing-is-wrong";
/// Each replay is a lab of its own, and has this machine's processors to itself most of the time.
const AT_ONCE_MAX: usize = 4;

/// Our programs.
pub struct Programs {
    /// `layerlab-lab`
    pub lab: PathBuf,
    /// `layerlab-seeded`
    pub seeded: PathBuf,
}

/// A bug, and what it is called.
type Named<'a> = (&'a str, &'static dyn Bug);

/// Of each bug the pages that fail with it; `None` if it is in nothing that pages use. So many at once are looked at; `tell` hears of each.
pub fn failing_of_all(
    bugs: &[Named<'_>],
    programs: &Programs,
    memory: &Path,
    threads: usize,
    tell: &(dyn Fn(&str, &[String]) + Sync),
) -> anyhow::Result<Vec<Option<Vec<String>>>> {
    let mut right: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for driver in bugs.iter().filter_map(|(_, bug)| driver_of(*bug)) {
        if !right.contains_key(driver) {
            right.insert(driver, passing(driver, programs, memory)?);
        }
    }
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Option<Vec<String>>>> = Mutex::new(vec![None; bugs.len()]);
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, bug)) = bugs.get(number) else { return Ok(()) };
            let Some(driver) = driver_of(*bug) else { continue };
            let replayed = replayed(name, driver, programs, memory)?;
            let is_failing = |page: &&String| replayed.get(*page) == Some(&Outcome::Failed);
            let failing: Vec<String> = right[driver].iter().filter(is_failing).cloned().collect();
            tell(name, &failing);
            found.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(failing);
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads.min(AT_ONCE_MAX)).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|thread| match thread.join() {
            Ok(worked) => worked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The driver that it is a bug of.
fn driver_of(bug: &dyn Bug) -> Option<&'static str> {
    match bug.home() {
        Home::Driver(driver) => Some(driver),
        Home::Mount(_) | Home::Store(_) => None,
    }
}

/// The pages that pass with `driver` where nothing is wrong; one that fails is an error.
fn passing(driver: &str, programs: &Programs, memory: &Path) -> anyhow::Result<Vec<String>> {
    let replayed = replayed(NOTHING, driver, programs, memory)?;
    if let Some((page, _)) = replayed.iter().find(|(_, outcome)| **outcome == Outcome::Failed) {
        bail!("the page {page} fails where nothing is wrong: cargo xtask replay {page} --driver {driver}");
    }
    Ok(replayed.into_iter().filter(|(_, outcome)| *outcome == Outcome::Passed).map(|(page, _)| page).collect())
}

/// What came of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// What comes of each page with the bug called `name`.
fn replayed(name: &str, driver: &str, programs: &Programs, memory: &Path) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let place = tempfile::tempdir_in(memory).context("cannot make a directory for an engine")?;
    let engine = sealed_copy(&programs.seeded, name, place.path())?;
    let mut lab = Command::new(&programs.lab);
    lab.args(["replay", "--quiet", "--check", "--driver", driver]).args(FOLDERS).env(ENGINE_VARIABLE, &engine);
    let output = lab.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", programs.lab.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: BTreeMap<String, Outcome> = text.lines().filter_map(line).collect();
    if found.is_empty() {
        bail!("no page was replayed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(found)
}

/// A line of the table at the end: a page, its driver, and what came of it.
fn line(text: &str) -> Option<(String, Outcome)> {
    let cells: Vec<&str> = text.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [page, _, said] = cells[..] else { return None };
    let outcome = match said.split_whitespace().collect::<Vec<_>>()[..] {
        ["failed", ..] => Outcome::Failed,
        ["skipped", ..] => Outcome::Skipped,
        [_, word, ..] if word.trim_end_matches(',') == "passed" => Outcome::Passed,
        _ => return None,
    };
    Some((page.to_owned(), outcome))
}

/// A copy of the program that has this bug.
fn sealed_copy(program: &Path, bug: &str, place: &Path) -> anyhow::Result<PathBuf> {
    let copy = place.join("layerlab");
    fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let mut file = File::options().append(true).open(&copy)?;
    file.write_all(SEAL)?;
    file.write_all(bug.as_bytes())?;
    Ok(copy)
}

/// The bug that this program was copied with, if it was.
pub fn sealed() -> anyhow::Result<Option<String>> {
    let mut file = File::open("/proc/self/exe").context("cannot open this program")?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SEALED_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let at = end.windows(SEAL.len()).rposition(|bytes| bytes == SEAL);
    Ok(at.map(|at| String::from_utf8_lossy(&end[at + SEAL.len()..]).into_owned()))
}
