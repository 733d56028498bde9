//! Each law, held alone, finds a fault that it is about, and shows it in at most six steps, in one of the first three cases that it finds.
//!
//! Checklist: N-28~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use layerlab_model::errno::Errno;
use layerlab_model::inode::Time;
use layerlab_model::operation::{Access, Answer, Flags, Operation, Target};
use layerlab_model::text::Text;
use layerlab_properties::campaign::{Campaign, Counts};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws::{self, Law};
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{self, Diff, Order, Stack, Tar};
use layerlab_scenarios::skip::skip;

mod faulty;
mod memory;

use faulty::{Fault, Faulty};
use memory::memory;

/// How many steps may be needed to show a fault.
const STEPS_MAX: usize = 6;
/// How often it may be found.
const TRIES: usize = 3;
/// How many cases may be needed to find one.
const CASES_MAX: u64 = 2000;

/// A law and a fault that it is about.
type Planted = (&'static str, Fault);

fn planted() -> Vec<Planted> {
    let none = Fault::NONE;
    vec![
        ("applying-a-diff-gives-the-tree", Fault { tar: Some(|tar, _, _| without_last(&tar)), ..none }),
        ("changes-are-the-models", Fault { changes: Some(|changes| drop(changes.pop())), ..none }),
        ("copy-up-keeps-every-attribute", Fault { instead: Some(chmod_and_touch), ..none }),
        ("deep-stacks-show-every-layer", Fault { instead: Some(no_mkdir), ..none }),
        ("deep-stacks-show-every-layer", Fault { unmounted: Some(empty_lowest_of_several), ..none }),
        ("diffs-are-deterministic", Fault { tar: Some(longer_each_time), ..none }),
        ("every-driver-gives-the-same-tree", Fault { elsewhere: Some(wrong_downwards), ..none }),
        ("inode-numbers-are-as-promised", Fault { instead: Some(chmod_of_another_file), ..none }),
        ("layer-tars-are-well-formed", Fault { tar: Some(|tar, _, _| last_first(&tar)), ..none }),
        ("looking-changes-nothing", Fault { used: Some(|used| used.takes_writing = true), ..none }),
        ("looking-changes-nothing", Fault { used: Some(|used| used.is_left_mounted = true), ..none }),
        ("looking-changes-nothing", Fault { used: Some(|used| used.attached[1].clear()), ..none }),
        ("lower-layers-never-change", Fault { unmounted: Some(write_below), ..none }),
        ("merged-view-equals-the-model", Fault { instead: Some(no_mkdir), ..none }),
        ("readdir-says-what-lookup-says", Fault { unmounted: Some(whiteout_of_nothing), ..none }),
        ("refused-steps-change-nothing", Fault { when_refused: Some(|_| Some(mkdir("/left"))), ..none }),
        ("remount-changes-nothing", Fault { unmounted: Some(change_upper), ..none }),
        ("the-uppers-diff-is-a-walking-diff", Fault { tar: Some(walking_without_last), ..none }),
        ("two-threads-see-old-or-new", Fault { answer: Some(torn), ..none }),
        ("upper-holds-exactly-what-it-must", Fault { unmounted: Some(change_upper), ..none }),
        ("whiteouts-hide-something", Fault { tar: Some(|tar, _, _| with_whiteout(&tar)), ..none }),
    ]
}

fn mkdir(path: &str) -> Operation {
    Operation::Mkdir { path: Text::from(path), mode: 0o755 }
}

fn no_mkdir(step: &layerlab_model::operation::Step) -> Option<Vec<Operation>> {
    matches!(step.operation, Operation::Mkdir { .. }).then(Vec::new)
}

fn chmod_and_touch(step: &layerlab_model::operation::Step) -> Option<Vec<Operation>> {
    let Operation::Chmod { target, .. } = &step.operation else { return None };
    let time = Time { seconds: 77, nanoseconds: 0 };
    Some(vec![step.operation.clone(), Operation::SetTime { target: target.clone(), time }])
}

fn chmod_of_another_file(step: &layerlab_model::operation::Step) -> Option<Vec<Operation>> {
    let Operation::Chmod { target: Target::Path(path), mode } = &step.operation else { return None };
    let flags = Flags { create: true, exclusive: true, ..Flags::of(Access::Write) };
    let again = Operation::Open { slot: 9, path: path.clone(), flags, mode: *mode };
    Some(vec![Operation::Unlink { path: path.clone() }, again, Operation::Close { slot: 9 }])
}

fn write_below(stack: &dyn Stack) {
    if let Some(lowest) = stack.lowers().first() {
        fs::write(lowest.join("spoilt"), "").unwrap();
    }
}

/// A fault that no stack of one layer shows.
fn empty_lowest_of_several(stack: &dyn Stack) {
    if let [lowest, _, ..] = &stack.lowers()[..] {
        for path in fs::read_dir(lowest).unwrap().map(|entry| entry.unwrap().path()) {
            let is_directory = path.symlink_metadata().unwrap().is_dir();
            if is_directory { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
}

/// In a directory that is merged with none the kernel lists a whiteout.
fn whiteout_of_nothing(stack: &dyn Stack) {
    let Some(lowest) = stack.lowers().into_iter().next() else { return };
    let directories = fs::read_dir(lowest).unwrap().map(|entry| entry.unwrap().path());
    for directory in directories.filter(|path| path.symlink_metadata().unwrap().is_dir()) {
        let (ghost, mode) = (directory.join("ghost"), rustix::fs::Mode::empty());
        // It may be there from before.
        let _ = rustix::fs::mknodat(rustix::fs::CWD, &ghost, rustix::fs::FileType::CharacterDevice, mode, 0);
    }
}

/// How threads are watched is `planted.rs`'s matter; here it is what the law makes of it.
fn torn(step: &layerlab_model::operation::Step) -> Option<Result<Answer, Errno>> {
    matches!(step.operation, Operation::Race { .. }).then(|| Ok(Answer::Wrong("a reader saw half".to_owned())))
}

fn change_upper(stack: &dyn Stack) {
    if let Some(upper) = stack.upper() {
        use std::os::fd::AsRawFd;
        let path = PathBuf::from(format!("/proc/self/fd/{}/.", upper.as_raw_fd()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
    }
}

/// The raw entries of a tar: header and content each.
fn entries(tar: &Tar) -> Vec<(tar::Header, Vec<u8>)> {
    let mut archive = tar::Archive::new(&tar.bytes[..]);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.header().clone(), bytes)
    };
    archive.entries().unwrap().raw(true).map(read).collect()
}

fn written(entries: &[(tar::Header, Vec<u8>)]) -> Tar {
    let mut builder = tar::Builder::new(Vec::new());
    for (header, bytes) in entries {
        builder.append(header, &bytes[..]).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let diff_id = layerlab_model::store::digest(&bytes);
    Tar { bytes, diff_id }
}

fn without_last(tar: &Tar) -> Tar {
    let mut entries = entries(tar);
    entries.pop();
    written(&entries)
}

fn walking_without_last(tar: Tar, diff: Diff, _: usize) -> Tar {
    if diff == Diff::Walking { without_last(&tar) } else { tar }
}

fn last_first(tar: &Tar) -> Tar {
    let mut entries = entries(tar);
    let last = entries.pop();
    entries.splice(0..0, last);
    written(&entries)
}

fn longer_each_time(tar: Tar, _: Diff, before: usize) -> Tar {
    let bytes = [&tar.bytes[..], &vec![0; 512 * before]].concat();
    let diff_id = layerlab_model::store::digest(&bytes);
    Tar { bytes, diff_id }
}

fn with_whiteout(tar: &Tar) -> Tar {
    let mut entries = entries(tar);
    let mut header = tar::Header::new_ustar();
    header.set_path(".wh.nothing").unwrap();
    header.set_size(0);
    header.set_cksum();
    entries.push((header, Vec::new()));
    written(&entries)
}

fn wrong_downwards(tars: &[Tar], order: Order) -> Vec<Tar> {
    match (order, tars) {
        (Order::Downwards, [.., last]) => [&tars[..tars.len() - 1], &[without_last(last)]].concat(),
        _ => tars.to_vec(),
    }
}

fn law(name: &str) -> &'static dyn Law {
    laws::ALL.iter().copied().find(|law| law.name() == name).unwrap()
}

fn finds((name, fault): Planted) {
    let host = Host::probe(true).on(&memory()).unwrap();
    let all = subjects::all();
    let inner = all.iter().find(|subject| subject.name() == "layerlab-overlay2").unwrap();
    let faulty = Faulty { inner: &**inner, promises: &**inner, fault };
    let place = tempfile::tempdir_in(memory()).unwrap();
    let laws = [law(name)];
    let campaign = Campaign { subject: &faulty, host: &host, laws: &laws, place: place.path().to_owned(), length: 40 };
    let mut counts = Counts::default();
    // A deep stack takes a while, and the first depths are small.
    let failure = (0..CASES_MAX).filter(|seed| name != "deep-stacks-show-every-layer" || seed % 6 < 2);
    let mut failures = failure.map(|seed| campaign.run(seed, &mut counts)).filter_map(Result::err).take(TRIES);
    let mut shown = Vec::new();
    let is_short = failures.any(|failure| {
        let text: Vec<String> = failure.steps.iter().map(ToString::to_string).collect();
        assert_eq!(failure.broken.law, Some(name), "{:?}\n{}", failure.broken, text.join("\n"));
        shown.push(text.join("\n"));
        text.len() <= STEPS_MAX
    });
    assert!(is_short, "{name} finds nothing, or shows it in more than {STEPS_MAX} steps: {shown:#?}");
}

#[test]
fn each_law_held_alone_finds_a_fault() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "faults are planted in overlay mounts");
    }
    for planted in planted() {
        let search = move || {
            own_mounts().unwrap();
            prepare_thread().unwrap();
            finds(planted);
        };
        std::thread::spawn(search).join().unwrap();
    }
}

#[test]
fn every_law_has_a_fault() {
    let planted: BTreeSet<&str> = planted().iter().map(|(name, _)| *name).collect();
    let without = laws::ALL.iter().map(|law| law.name()).find(|name| !planted.contains(name));
    assert_eq!(without, None);
}
