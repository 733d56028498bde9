//! Faults planted for the occasion are found, and shown in at most six steps.
//!
//! Checklist: N-28~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use layerlab_engine::driver::{self, fuse_overlayfs};
use layerlab_model::errno::Errno;
use layerlab_model::inode::Time;
use layerlab_model::operation::{Access, Answer, Flags, Operation, Replace, Step, Target, User};
use layerlab_model::text::Text;
use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::race;
use layerlab_properties::readdir::{self, Entries, Opened};
use layerlab_properties::subjects::{self, Stack, Tar};
use layerlab_scenarios::skip::skip;

/// How many steps may be needed to show a fault.
const STEPS_MAX: usize = 6;
/// An opaque mark takes seven steps to be made and missed: a directory with a file, a layer, both removed, the directory again, a layer.
const STEPS_TO_MISS_A_MARK: usize = 7;
/// How many cases may be needed to find one.
const CASES_MAX: u64 = 2000;
/// How many cases find nothing where nothing is wrong.
const CASES_WITHOUT_A_FAULT: u64 = 300;

mod faulty;
mod memory;

use faulty::{Answers, Fault, Faulty, Instead, Spoil};
use memory::memory;

const NOTHING: Fault = Fault::NONE;

fn wrong(instead: Instead) -> Fault {
    Fault { instead: Some(instead), ..Fault::NONE }
}

fn spoilt(committed: Spoil) -> Fault {
    Fault { committed: Some(committed), ..Fault::NONE }
}

/// Everything below `directory`, deepest first.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// The first failure of overlayfs with a fault; `None` when this machine cannot be asked.
fn found(fault: Fault) -> Option<Failure> {
    found_in(["overlay"; 2], fault)
}

/// The same of the subject that is named first, which makes the promises of the second.
fn found_in(subjects: [&str; 2], fault: Fault) -> Option<Failure> {
    let failure = searched(subjects, fault, CASES_MAX)?;
    Some(failure.expect("a fault that no case finds"))
}

/// The first failure in so many cases; the outer `None` when this machine cannot be asked.
fn searched([inner, promises]: [&str; 2], fault: Fault, cases: u64) -> Option<Option<Failure>> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "faults are planted in overlay mounts");
        return None;
    }
    let host = Host::probe(true).on(&memory()).unwrap();
    let all = subjects::all();
    let named = |name: &str| &**all.iter().find(|subject| subject.name() == name).unwrap();
    let faulty = Faulty { inner: named(inner), promises: named(promises), fault };
    if let Some(reason) = faulty.promises.refusal(&host) {
        skip("root", &reason);
        return None;
    }
    std::thread::scope(|scope| {
        let search = || {
            own_mounts().unwrap();
            prepare_thread().unwrap();
            let place = tempfile::tempdir_in(memory()).unwrap();
            let campaign = Campaign {
                subject: &faulty,
                host: &host,
                laws: &laws::ALL,
                place: place.path().to_owned(),
                length: 40,
            };
            let mut counts = Counts::default();
            Some((1..cases).find_map(|seed| campaign.run(seed, &mut counts).err()))
        };
        scope.spawn(search).join().unwrap()
    })
}

fn is_shown(name: &str, fault: Fault) {
    is_shown_of(name, found(fault));
}

fn is_shown_of(name: &str, failure: Option<Failure>) {
    is_shown_in(STEPS_MAX, name, failure);
}

fn is_shown_in(steps_max: usize, name: &str, failure: Option<Failure>) {
    let Some(failure) = failure else { return };
    let text: Vec<String> = failure.steps.iter().map(ToString::to_string).collect();
    let (steps, broken) = (text.join("\n"), &failure.broken);
    assert!(text.len() <= steps_max, "{name}: {} steps\n{steps}\n{broken:?}", text.len());
    assert!(failure.broken.law.is_some(), "{name}: {:?}", failure.broken);
}

#[test]
fn without_a_fault_nothing_is_found() {
    let found = searched(["overlay"; 2], NOTHING, CASES_WITHOUT_A_FAULT);
    assert!(found.flatten().is_none_or(|failure| panic!("{failure:#?}")));
}

/// A program has the open directories of the thread that starts it until it is executed, and overlayfs keeps the listing of an open directory.
#[test]
fn programs_that_are_started_meanwhile_are_no_fault() {
    let is_over = AtomicBool::new(false);
    let start = || {
        while !is_over.load(Ordering::Relaxed) {
            assert!(Command::new("true").status().unwrap().success());
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(start)));
        let found = searched(["overlay"; 2], NOTHING, CASES_WITHOUT_A_FAULT);
        is_over.store(true, Ordering::Relaxed);
        assert!(found.flatten().is_none_or(|failure| panic!("{failure:#?}")));
    });
}

#[test]
fn a_chmod_that_loses_a_bit() {
    let instead: Instead = |step| match &step.operation {
        Operation::Chmod { target, mode } => {
            Some(vec![Operation::Chmod { target: target.clone(), mode: mode & !0o4000 }])
        }
        _ => None,
    };
    is_shown("chmod", wrong(instead));
}

#[test]
fn an_exchange_that_moves_one_way() {
    let instead: Instead = |step| match &step.operation {
        Operation::Rename { from, to, replace: Replace::Exchange } => {
            Some(vec![Operation::Rename { from: from.clone(), to: to.clone(), replace: Replace::Yes }])
        }
        _ => None,
    };
    is_shown("exchange", wrong(instead));
}

#[test]
fn a_truncate_that_only_shortens() {
    let instead: Instead = |step| match &step.operation {
        Operation::Truncate { target: Target::Path(_), length: 4097.. } => Some(Vec::new()),
        _ => None,
    };
    is_shown("truncate", wrong(instead));
}

#[test]
fn an_unlink_that_does_nothing() {
    let instead: Instead = |step| matches!(step.operation, Operation::Unlink { .. }).then(Vec::new);
    is_shown("unlink", wrong(instead));
}

#[test]
fn a_write_that_sets_the_time_of_another_day() {
    let instead: Instead = |step| match &step.operation {
        Operation::Write { slot, fill, .. } if fill.length > 0 => {
            let time = Time { seconds: 1_000_000_000, nanoseconds: 0 };
            Some(vec![step.operation.clone(), Operation::SetTime { target: Target::Slot(*slot), time }])
        }
        _ => None,
    };
    is_shown("write", wrong(instead));
}

#[test]
fn a_touch_that_does_nothing() {
    let instead: Instead = |step| matches!(step.operation, Operation::Touch { .. }).then(Vec::new);
    is_shown("touch", wrong(instead));
}

#[test]
fn a_link_that_loses_its_time() {
    let instead: Instead = |step| match &step.operation {
        Operation::SetLinkTime { path, .. } => {
            let time = Time { seconds: 1, nanoseconds: 0 };
            Some(vec![Operation::SetLinkTime { path: path.clone(), time }])
        }
        _ => None,
    };
    is_shown("time of a link", wrong(instead));
}

#[test]
fn an_attribute_that_is_set_empty() {
    let instead: Instead = |step| match &step.operation {
        Operation::SetXattr { target, name, before, .. } if name.as_bytes().starts_with(b"user.") => {
            let (target, name) = (target.clone(), name.clone());
            Some(vec![Operation::SetXattr { target, name, value: Default::default(), before: *before }])
        }
        _ => None,
    };
    is_shown("xattr", wrong(instead));
}

/// A directory of which a name is lost after each seek.
struct Forgetful {
    inner: Opened,
    forgets: bool,
}

impl Entries for Forgetful {
    fn next(&mut self) -> Result<Option<(Text, u64)>, rustix::io::Errno> {
        if std::mem::take(&mut self.forgets) {
            self.inner.next()?;
        }
        self.inner.next()
    }

    fn seek(&mut self, position: u64) -> Result<(), rustix::io::Errno> {
        self.forgets = true;
        self.inner.seek(position)
    }
}

fn as_model_says(result: Result<Answer, rustix::io::Errno>) -> Result<Answer, Errno> {
    result.map_err(|errno| Errno(errno.raw_os_error()))
}

#[test]
fn a_list_that_loses_a_name_when_it_is_read_again() {
    let answer: Answers = |step| match (&step.operation, step.user) {
        (Operation::List { path }, User::Root) => {
            let opened = Opened::open(path).map(|inner| Forgetful { inner, forgets: false });
            Some(as_model_says(opened.and_then(|mut forgetful| readdir::list(&mut forgetful))))
        }
        _ => None,
    };
    let Some(failure) = found(Fault { answer: Some(answer), ..Fault::NONE }) else { return };
    assert!(failure.broken.findings.iter().any(|found| found.contains("read again")), "{:?}", failure.broken);
    is_shown_of("list", Some(failure));
}

#[test]
fn a_write_that_empties_the_file_for_a_moment() {
    fn write(path: &Text, offset: Option<u64>, letter: u8) -> Result<(), rustix::io::Errno> {
        let path = Path::new(std::str::from_utf8(path.as_bytes()).unwrap());
        let mut content = fs::read(path).unwrap();
        fs::write(path, "").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        if let Some(offset) = offset {
            content[offset as usize] = letter;
        }
        fs::write(path, content).unwrap();
        Ok(())
    }
    let answer: Answers = |step| match (&step.operation, step.user) {
        (Operation::Race { path, letters, mode }, User::Root)
            if letters.as_bytes().len() == 1 && fs::metadata(path.to_string()).is_ok_and(|meta| meta.len() > 1) =>
        {
            Some(as_model_says(race::run(path, letters, *mode, &write)))
        }
        _ => None,
    };
    let Some(failure) = found(Fault { answer: Some(answer), ..Fault::NONE }) else { return };
    assert!(failure.broken.findings.iter().any(|found| found.contains("a reader saw ")), "{:?}", failure.broken);
    is_shown_of("race", Some(failure));
}

#[test]
fn a_commit_that_forgets_access_control_lists() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let _ = rustix::fs::removexattr(&path, layerlab_model::acl::ACCESS);
        }
    };
    is_shown("lists", spoilt(spoil));
}

#[test]
fn a_commit_that_forgets_whiteouts() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let meta = path.symlink_metadata().unwrap();
            if meta.file_type().is_char_device() && meta.rdev() == 0 {
                fs::remove_file(path).unwrap();
            }
        }
    };
    is_shown("whiteouts", spoilt(spoil));
}

#[test]
fn a_commit_that_forgets_opaque_marks() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let _ = rustix::fs::lremovexattr(&path, "trusted.overlay.opaque");
        }
    };
    is_shown_in(STEPS_TO_MISS_A_MARK, "opaque", found(spoilt(spoil)));
}

#[test]
fn a_commit_that_forgets_the_sticky_bit() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode() & 0o6777)).unwrap();
            }
        }
    };
    is_shown("sticky", spoilt(spoil));
}

#[test]
fn a_commit_that_forgets_capabilities() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let _ = rustix::fs::lremovexattr(&path, "security.capability");
        }
    };
    is_shown("capabilities", spoilt(spoil));
}

#[test]
fn a_commit_that_breaks_links() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let meta = path.symlink_metadata().unwrap();
            if meta.is_file() && meta.nlink() > 1 {
                let copy = path.with_file_name("copy");
                fs::copy(&path, &copy).unwrap();
                let _ = std::os::unix::fs::chown(&copy, Some(meta.uid()), Some(meta.gid()));
                fs::rename(&copy, &path).unwrap();
            }
        }
    };
    is_shown("links", spoilt(spoil));
}

#[test]
fn a_commit_that_empties_files() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            if path.symlink_metadata().unwrap().is_file() {
                fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
            }
        }
    };
    is_shown("contents", spoilt(spoil));
}

#[test]
fn an_index_that_is_not_there() {
    is_shown_of("index", found_in(["overlay", "overlay-index"], NOTHING));
}

#[test]
fn a_copy_up_that_takes_the_content_along() {
    is_shown_of("metacopy", found_in(["overlay-redirect", "overlay-metacopy"], NOTHING));
}

#[test]
fn a_commit_that_forgets_where_content_lies() {
    let spoil: Spoil = |upper| {
        for path in below(upper) {
            let _ = rustix::fs::lremovexattr(&path, "trusted.overlay.metacopy");
        }
    };
    is_shown_of("content below", found_in(["overlay-metacopy"; 2], spoilt(spoil)));
}

/// The driver whose tree a program serves; its promises are told by nothing else.
const PROGRAM: &str = "layerlab-fuse-overlayfs";

/// The first failure of that driver with a fault; `None` when this machine cannot be asked.
fn found_of_program(fault: Fault) -> Option<Failure> {
    let program = driver::refusal(fuse_overlayfs::NAME, &memory());
    match program {
        Some(reason) => {
            skip("fuse-overlayfs", &reason);
            None
        }
        None => found_in([PROGRAM; 2], fault),
    }
}

#[test]
fn a_chmod_of_the_programs_that_loses_a_bit() {
    let instead: Instead = |step| match &step.operation {
        Operation::Chmod { target, mode } => {
            Some(vec![Operation::Chmod { target: target.clone(), mode: mode & !0o100 }])
        }
        _ => None,
    };
    is_shown_of("chmod", found_of_program(wrong(instead)));
}

#[test]
fn whiteouts_of_the_programs_that_are_forgotten() {
    let unmounted = |stack: &dyn Stack| {
        for path in stack.lowers().iter().flat_map(|lower| below(lower)) {
            let meta = path.symlink_metadata().unwrap();
            let name = path.file_name().unwrap().as_encoded_bytes();
            if meta.file_type().is_char_device() && meta.rdev() == 0 || name.starts_with(b".wh.") {
                fs::remove_file(path).unwrap();
            }
        }
    };
    is_shown_of("whiteouts", found_of_program(Fault { unmounted: Some(unmounted), ..NOTHING }));
}

#[test]
fn a_tar_of_the_programs_that_lacks_all() {
    let tar = |_: Tar, _, _| {
        let bytes = vec![0; 1024];
        Tar { diff_id: layerlab_model::store::digest(&bytes), bytes }
    };
    is_shown_of("tar", found_of_program(Fault { tar: Some(tar), ..NOTHING }));
}

#[test]
fn a_program_that_breaks_off_is_told_of() {
    if let Some(reason) = driver::refusal(fuse_overlayfs::NAME, &memory()) {
        return skip("fuse-overlayfs", &reason);
    }
    let host = Host::probe(true);
    let all = subjects::all();
    let named = |name: &str| &**all.iter().find(|subject| subject.name() == name).unwrap();
    // The program itself promises nothing of what it breaks off at.
    let faulty = Faulty { inner: named(PROGRAM), promises: named("overlay"), fault: NOTHING };
    let path = Text(vec![b'n'; 255]);
    let flags = Flags { create: true, ..Flags::of(Access::Write) };
    let steps = [
        Operation::Open { slot: 0, path: path.clone(), flags, mode: 0o644 },
        Operation::Commit,
        Operation::Unlink { path },
    ];
    let steps = steps.map(|operation| Step { user: User::Root, operation });
    let broken = std::thread::scope(|scope| {
        let replay = || {
            own_mounts().unwrap();
            prepare_thread().unwrap();
            let place = tempfile::tempdir_in(memory()).unwrap();
            let campaign =
                Campaign { subject: &faulty, host: &host, laws: &[], place: place.path().to_owned(), length: 0 };
            campaign.replay(&steps)
        };
        scope.spawn(replay).join().unwrap()
    });
    let broken = broken.expect_err("it should break off, or the promise is not wanted any more");
    assert_eq!(
        (broken.law, &broken.findings[..]),
        (None, &["the program that serves the merged tree has broken off".to_owned()][..])
    );
}
