//! Where yum's packages come from: the repositories of /etc/yum.repos.d, in the lab's own simple form.
//!
//! A repository's `packages.index` holds a stanza for each package (as apt's `Packages` does), and a package is a `.tar.gz`
//! of its files: no rpm and no repomd.xml, which would take more than they show. `yum` says so when it installs from one.

use super::stanza::{self, Stanza};
use super::{ask, fetch, size, unpack};
use crate::say;
use std::io;
use std::path::{Path, PathBuf};

const FILES: &str = "/var/lib/rpm/files";

/// A package of a repository.
pub struct Available {
    base: String,
    pub package: Stanza,
}

impl Available {
    /// `httpd-2.4.6-97.el7.x86_64`.
    pub fn full_name(&self) -> String {
        format!("{}-{}.x86_64", self.package.get("Package"), self.package.get("Version"))
    }
}

/// Every package of every enabled repository; what cannot be fetched is said.
pub fn available() -> Result<Vec<Available>, String> {
    let mut all = Vec::new();
    for base in bases() {
        let url = format!("{base}/packages.index");
        let index = fetch::get(&url).map_err(|what| format!("{url}: {what}"))?;
        let listed = stanza::parse(&String::from_utf8_lossy(&index));
        all.extend(listed.into_iter().map(|package| Available { base: base.clone(), package }));
    }
    Ok(all)
}

fn bases() -> Vec<String> {
    let files = std::fs::read_dir("/etc/yum.repos.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "repo")).collect();
    files.sort();
    let mut bases = Vec::new();
    for text in files.iter().filter_map(|path| std::fs::read_to_string(path).ok()) {
        for section in text.split("\n[") {
            let value = |key: &str| section.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            if let (Some(base), true) = (value("baseurl"), value("enabled") != Some("0")) {
                bases.push(base.trim().trim_end_matches('/').to_owned());
            }
        }
    }
    bases
}

/// Adds what the chosen packages need, what is needed first.
pub fn with_dependencies(chosen: Vec<String>, all: &[Available], is_installed: &dyn Fn(&str) -> bool) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut queue = chosen;
    while let Some(name) = queue.pop() {
        let Some(at) = all.iter().position(|one| one.package.get("Package") == name) else { continue };
        if is_installed(&name) || found.contains(&at) {
            continue;
        }
        queue.extend(all[at].package.depends().map(str::to_owned));
        found.push(at);
    }
    found.reverse();
    found
}

/// Shows the transaction and asks, unless `yes`; false ends it.
pub fn confirmed(chosen: &[&Available], yes: bool, quiet: bool) -> bool {
    if !quiet {
        say::line(
            "layerlab's yum, a stand-in: packages of the lab's repository are .tar.gz archives, no rpms; checksums are verified",
        );
        say::line("\nDependencies Resolved\n");
        for one in chosen {
            say::line(format!(" {}  {}", one.full_name(), size(one.package.get("Size").parse().unwrap_or(0))));
        }
        say::line(format!("\nInstall  {} Package{}\n", chosen.len(), if chosen.len() == 1 { "" } else { "s" }));
    }
    if yes {
        return true;
    }
    let agreed = ask("Is this ok [y/d/N]: ", 'n') == Some('y');
    if !agreed {
        say::line("Exiting on user command");
    }
    agreed
}

/// Fetches, verifies and unpacks a package, and keeps the list of its files.
pub fn install(one: &Available) -> Result<(), String> {
    let said = |error: io::Error| say::reason(&error);
    let archive = fetch::archive(&one.base, &one.package)?;
    let files = unpack::data(&archive).map_err(said)?;
    std::fs::create_dir_all(FILES).map_err(said)?;
    std::fs::write(Path::new(FILES).join(one.package.get("Package")), files[1..].join("\n") + "\n").map_err(said)
}

/// The files a package brought.
pub fn files_of(name: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(FILES).join(name)).ok()
}
