//! What a private attribute of overlayfs says wrongly, or of what it should not be, is found by the law of the upper layer.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws::{self, Law};
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{self, Stack};
use layerlab_scenarios::skip::skip;
use rustix::fs::XattrFlags;

mod faulty;
mod memory;

use faulty::{Fault, Faulty};
use memory::memory;

/// How many steps may be needed to show a fault.
const STEPS_MAX: usize = 6;
/// How many cases may be needed to find one.
const CASES_MAX: u64 = 2000;

const LAW: &str = "upper-holds-exactly-what-it-must";

/// A subject, what is done to its upper layer, and what is said of that.
type Planted = (&'static str, fn(&dyn Stack), &'static str);

const PLANTED: [Planted; 12] = [
    ("layerlab-overlay2", |stack| root(stack, "mine", b"y"), "has the attribute trusted.overlay.mine"),
    ("layerlab-overlay2", |stack| root(stack, "upper", b"y"), "has the attribute trusted.overlay.upper"),
    ("layerlab-overlay2", |stack| root(stack, "impure", b"x"), "impure is \"x\": not y"),
    ("layerlab-overlay2", without_impure, "should be marked impure, since it holds a copy"),
    ("layerlab-overlay2", |stack| root(stack, "uuid", b"me"), "uuid is \"me\": no identity"),
    ("layerlab-overlay2", |stack| with(stack, "opaque", "opaque", b"n"), "opaque is \"n\": not y"),
    ("layerlab-overlay2", |stack| with(stack, "origin", "origin", b"x"), "origin is \"x\": no file handle"),
    ("layerlab-overlay2", |stack| with(stack, "impure", "redirect", b"/a"), "the options have no redirects"),
    ("layerlab-overlay2", origins_of_new_files, "it is no copy"),
    ("overlay-redirect", |stack| with(stack, "redirect", "redirect", b"/nowhere"), "not where the rest of it lies"),
    ("layerlab-overlay2", |stack| with(stack, "impure", "metacopy", b""), "the options have no such files"),
    ("overlay-index", |stack| with(stack, "nlink", "nlink", b"U+7"), "nlink is \"U+7\": not how many names it has"),
];

/// Gives the root of the upper layer an attribute.
fn root(stack: &dyn Stack, name: &str, value: &[u8]) {
    if let Some(upper) = upper(stack) {
        set(&upper.join("."), name, value);
    }
}

/// Gives everything below it that has the attribute `having` another one, or another value.
fn with(stack: &dyn Stack, having: &str, name: &str, value: &[u8]) {
    let Some(upper) = upper(stack) else { return };
    for path in below(&upper).iter().filter(|path| has(path, having)) {
        set(path, name, value);
    }
}

fn without_impure(stack: &dyn Stack) {
    if let Some(upper) = upper(stack) {
        // It may be pure.
        let _ = rustix::fs::lremovexattr(upper.join("."), "trusted.overlay.impure");
    }
}

fn origins_of_new_files(stack: &dyn Stack) {
    let handle = [&[0, 0xfb, 29][..], &[1; 26]].concat();
    let Some(upper) = upper(stack) else { return };
    for path in below(&upper).iter().filter(|path| path.is_file() && !path.is_symlink() && !has(path, "origin")) {
        set(path, "origin", &handle);
    }
}

fn upper(stack: &dyn Stack) -> Option<PathBuf> {
    stack.upper().map(|upper| PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd())))
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

fn has(path: &Path, name: &str) -> bool {
    rustix::fs::lgetxattr(path, format!("trusted.overlay.{name}"), &mut [0; 4096][..]).is_ok()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, format!("trusted.overlay.{name}"), value, XattrFlags::empty()).unwrap();
}

fn is_found((subject, meddle, said): Planted) {
    let host = Host::probe(true).on(&memory()).unwrap();
    let all = subjects::all();
    let inner = &**all.iter().find(|one| one.name() == subject).unwrap();
    if let Some(why) = inner.refusal_on(&memory()) {
        return skip("overlay", &why);
    }
    let fault = Fault { unmounted: Some(meddle), ..Fault::NONE };
    let faulty = Faulty { inner, promises: inner, fault };
    let place = tempfile::tempdir_in(memory()).unwrap();
    let laws: Vec<&'static dyn Law> = laws::ALL.iter().copied().filter(|law| law.name() == LAW).collect();
    let campaign = Campaign { subject: &faulty, host: &host, laws: &laws, place: place.path().to_owned(), length: 40 };
    // What a wrong attribute leads to may be seen before it is.
    let is_told = |failure: &Failure| failure.broken.findings.iter().any(|finding| finding.ends_with(said));
    let mut failures = (0..CASES_MAX).filter_map(|seed| campaign.run(seed, &mut Counts::default()).err());
    let failure = failures.find(is_told).unwrap_or_else(|| panic!("nobody finds out: {said}"));
    let text: Vec<String> = failure.steps.iter().map(ToString::to_string).collect();
    assert_eq!(failure.broken.law, Some(LAW), "{said}: {:?}\n{}", failure.broken, text.join("\n"));
    assert!(text.len() <= STEPS_MAX, "{said}: {} steps\n{}", text.len(), text.join("\n"));
}

#[test]
fn what_a_private_attribute_says_wrongly_is_found() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "faults are planted in overlay mounts");
    }
    // Most of the time they wait for the kernel to mount and unmount.
    let searches = PLANTED.map(|planted| {
        std::thread::spawn(move || {
            own_mounts().unwrap();
            prepare_thread().unwrap();
            is_found(planted);
        })
    });
    searches.into_iter().for_each(|search| search.join().unwrap());
}
