//! How a test says that this host cannot run it: a line that `cargo xtask test` counts, or a failure where it must run.
//!
//! A test's own output is shown only when it fails. So each skip is a line of the file that `LAYERLAB_SKIPS` names, if it
//! names one, and `LAYERLAB_REQUIRE=root,docker` lists what must not be missing.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The file to which each skip adds its reason as one line.
pub const SKIPS_VARIABLE: &str = "LAYERLAB_SKIPS";
/// What may not be missing, separated by commas.
pub const REQUIRE_VARIABLE: &str = "LAYERLAB_REQUIRE";

/// What a test can want of a host: to be root, labs for ordinary users, a dockerd, the source documents, a bash, the
/// programs of these names, FUSE, overlay mounts with every option, file systems in memory, in a file, or read only, and the kernel's log.
const WANTS: &[&str] = &[
    "root",
    "user",
    "docker",
    "documents",
    "containers-storage",
    "containerd",
    "bash",
    "chromium",
    "docker-registry",
    "podman",
    "skopeo",
    "umoci",
    "fuse",
    "fuse-overlayfs",
    "zsh",
    "fish",
    "gnu-tar",
    "overlay",
    "tmpfs",
    "ext4",
    "xfs",
    "btrfs",
    "erofs",
    "squashfs",
    "kernel-log",
];

/// Says that a test, or a part of one, is left out for want of `wanting` (one of the words above).
///
/// # Panics
/// When `wanting` is required, when it or a word of `LAYERLAB_REQUIRE` is none of the words above, or when the file of skips
/// cannot be written.
pub fn skip(wanting: &str, reason: &str) {
    let required = env::var(REQUIRE_VARIABLE).unwrap_or_default();
    if let Err(why) = allowed(wanting, reason, &required) {
        panic!("{why}");
    }
    leave_out(reason);
}

/// Says that a part of a test has nothing to do, here as on every host: nothing is wanting, and nothing can require it.
///
/// # Panics
/// When the file of skips cannot be written.
pub fn leave_out(reason: &str) {
    eprintln!("skipped: {reason}");
    if let Some(path) = env::var_os(SKIPS_VARIABLE) {
        let noted = note(Path::new(&path), reason);
        noted.unwrap_or_else(|error| panic!("cannot note a skip in {}: {error}", path.display()));
    }
}

fn allowed(wanting: &str, reason: &str, required: &str) -> Result<(), String> {
    let required = || required.split(',').map(str::trim).filter(|word| !word.is_empty());
    if let Some(word) = required().chain([wanting]).find(|word| !WANTS.contains(word)) {
        return Err(format!("a test cannot want '{word}'; {REQUIRE_VARIABLE} knows {}", WANTS.join(", ")));
    }
    match required().any(|word| word == wanting) {
        true => Err(format!("{REQUIRE_VARIABLE} requires {wanting}, but this test would be skipped: {reason}")),
        false => Ok(()),
    }
}

/// Adds one line in one write, since tests of several processes share the file.
fn note(path: &Path, reason: &str) -> io::Result<()> {
    let line = format!("{}\n", reason.split_whitespace().collect::<Vec<_>>().join(" "));
    File::options().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_for_want_of_something_required_is_refused() {
        assert!(allowed("root", "no root", "").is_ok());
        assert!(allowed("root", "no root", "docker, user").is_ok());
        let why = allowed("docker", "no dockerd", "root,docker").unwrap_err();
        assert!(why.contains("requires docker") && why.ends_with("no dockerd"), "{why}");
        assert!(allowed("root", "no root", "dokcer").unwrap_err().contains("'dokcer'"));
        assert!(allowed("rot", "no root", "").unwrap_err().contains("'rot'"));
    }

    #[test]
    fn each_skip_is_one_line_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skips");
        note(&path, "no\nroot").unwrap();
        note(&path, "no dockerd").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "no root\nno dockerd\n");
    }
}
