//! A mount through FUSE in which nothing is wrong keeps the laws that the overlay behind it keeps, and one with a bug does not.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::sync::Mutex;
use std::thread;

use layerlab_bugs::bug::{Bug, Home, NothingIsWrong, ThroughFuse};
use layerlab_bugs::catalogue;
use layerlab_bugs::hunt::MEMORY;
use layerlab_bugs::outward::fuse::behind::Behind;
use layerlab_bugs::outward::fuse::serve;
use layerlab_bugs::seeded::Seeded;
use layerlab_model::operation::{Operation, Step, User};
use layerlab_model::text::Text;
use layerlab_properties::case::{Case, prepare_thread};
use layerlab_properties::enter::own_mounts;
use layerlab_properties::generate::Generator;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::shrink::simplest;
use layerlab_properties::simplify::proposals;
use layerlab_properties::subjects::Subject;
use layerlab_scenarios::skip::skip;

const CASES: u64 = 60;
/// How many cases a bug is looked for.
const CASES_MAX: u64 = 600;
const STEPS: usize = 40;
/// Bugs that are not looked for here, and why not.
const NOT_SHOWN: [(&str, &str); 3] = [
    ("a-copy-up-without-room-leaves-an-empty-file", "no step fills the disk, but a situation does"),
    ("a-deletion-without-a-look-before-is-forgotten", "the laws look at everything"),
    ("a-failed-deletion-uncovers-the-file-below", "no step fills the disk, but a situation does"),
];

static NOTHING: NothingIsWrong = NothingIsWrong(Home::Mount("overlay"), ThroughFuse::Gated);

/// A bug's subject, mounted so.
fn behind(name: &str, bug: &'static dyn Bug) -> Behind {
    Behind::new(Seeded::of(name, bug).unwrap(), bug.through_fuse())
}

/// Whether this machine can.
fn can() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", "bugs are seeded in what only root can mount");
    } else if !Path::new(serve::DEVICE).exists() {
        skip("fuse", "there is no /dev/fuse");
        return false;
    }
    is_root
}

/// What FUSE itself does otherwise, so that it is not asked for: nothing is opened that has no name, and a user who may not is refused to rename
/// the one name of a file to the other, where the kernel would do nothing if it knew that they are names of one.
fn is_left_out(step: &Step) -> bool {
    let inode = |path: &Text| rustix::fs::lstat(&path.0[..]).map(|stat| stat.st_ino).ok();
    match &step.operation {
        Operation::OpenUnnamed { .. } => true,
        Operation::Rename { from, to, .. } => {
            step.user == User::Other && inode(from).is_some_and(|one| Some(one) == inode(to))
        }
        _ => false,
    }
}

/// A case of steps that are known, or are drawn as it goes on; what broke, if something did.
fn broken(subject: &dyn Subject, host: &Host, known: Option<&[Step]>, seed: u64) -> (Vec<Step>, Option<Vec<String>>) {
    let place = tempfile::tempdir_in(MEMORY).unwrap();
    let mut case = Case::begin(subject, host, place.path()).unwrap();
    let mut watches: Vec<_> = laws::ALL.iter().map(|law| (law.name(), law.watch())).collect();
    let mut generator = Generator::new(seed, laws::ALL[seed as usize % laws::ALL.len()].weights(), true);
    let mut steps = Vec::new();
    let length = known.map_or(STEPS, <[Step]>::len);
    for number in 0..length {
        let step = known.map_or_else(|| generator.step(case.model()), |known| known[number].clone());
        if case.model().promises_nothing_of(&step) || is_left_out(&step) {
            continue;
        }
        steps.push(step);
        let moment = match case.step(&steps[steps.len() - 1], number + 1 == length) {
            Ok(moment) => moment,
            Err(error) => return (steps.clone(), Some(vec![error.to_string()])),
        };
        let found = watches.iter_mut().find_map(|(law, watch)| {
            let findings = watch.after(&moment).err()?;
            Some([vec![(*law).to_owned()], findings].concat())
        });
        if found.is_some() {
            drop(case);
            return (steps, found);
        }
    }
    drop(case);
    (steps, None)
}

/// Runs `body` where mounts are its own.
fn apart(body: impl FnOnce(&Host) + Send) {
    let run = || {
        own_mounts().unwrap();
        prepare_thread().unwrap();
        body(&Host::probe(true).on(Path::new(MEMORY)).unwrap());
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap());
}

#[test]
fn a_mount_in_which_nothing_is_wrong_keeps_the_laws_of_the_overlay_below() {
    if !can() {
        return;
    }
    apart(|host| {
        let subject = behind("nothing", &NOTHING);
        for seed in 1..=CASES {
            let (steps, Some(findings)) = broken(&subject, host, None, seed) else { continue };
            let fails =
                |part: &[Step]| broken(&subject, host, Some(part), seed).1.is_some_and(|now| now[0] == findings[0]);
            let shortest = simplest(&steps, proposals, fails);
            let shown: Vec<String> = shortest.iter().map(ToString::to_string).collect();
            panic!("case {seed}: {findings:?}\n{shown:#?}\n{:?}", broken(&subject, host, Some(&shortest), seed).1);
        }
    });
}

#[test]
fn a_bug_of_a_mount_is_there_through_fuse_too() {
    if !can() {
        return;
    }
    let all = catalogue::all();
    assert!(NOT_SHOWN.iter().all(|(name, _)| all.iter().any(|entry| entry.name == *name)));
    let named = std::env::var("LAYERLAB_BUGS").unwrap_or_default();
    let is_shown = |entry: &&catalogue::Entry| {
        let (home, through) = (entry.bug.home(), entry.bug.through_fuse());
        let is_named = named.is_empty() || named.split(',').any(|name| name == entry.name);
        let is_left_out = NOT_SHOWN.iter().any(|(name, _)| *name == entry.name);
        is_named && !is_left_out && matches!(home, Home::Mount(_)) && !matches!(through, ThroughFuse::Hidden(_))
    };
    let next = Mutex::new(all.iter().filter(is_shown));
    let take = || next.lock().unwrap().next();
    let unseen: Mutex<Vec<&str>> = Mutex::default();
    let look = |host: &Host| {
        while let Some(entry) = take() {
            let name = &*entry.name;
            let subject = behind(name, entry.bug);
            // Where nobody asks whether a user may, what is right breaks laws, too: but not in these steps.
            let right: &NothingIsWrong =
                Box::leak(Box::new(NothingIsWrong(entry.bug.home(), entry.bug.through_fuse())));
            let right = behind("nothing", right);
            let is_seen = |seed| {
                let (steps, found) = broken(&subject, host, None, seed);
                found.is_some() && broken(&right, host, Some(&steps), seed).1.is_none()
            };
            if !(1..=CASES_MAX).any(is_seen) {
                unseen.lock().unwrap().push(name);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| apart(look));
        }
    });
    let unseen = unseen.into_inner().unwrap();
    assert!(unseen.is_empty(), "not seen in {CASES_MAX} cases: {unseen:?}");
}
