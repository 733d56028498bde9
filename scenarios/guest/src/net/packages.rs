//! `rpm -qa`, `yum install` and `apt-get install`: packages are directories below /usr/share/lab/packages.
//!
//! `/usr/share/lab/packages/NAME/` holds the files to copy to `/`; an optional `.rpm` file in it gives the full name that
//! goes into the list `/var/lib/rpm/packages` (one name per line), which `rpm -qa` prints.

use crate::applets::Call;
use crate::say;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const SHELF: &str = "/usr/share/lab/packages";
const INSTALLED: &str = "/var/lib/rpm/packages";

fn installed() -> Vec<String> {
    std::fs::read_to_string(INSTALLED).unwrap_or_default().lines().map(str::to_owned).collect()
}

pub fn rpm(call: &Call) -> u8 {
    let query = |letter: char| call.args.iter().any(|arg| arg.starts_with("-q") && arg.contains(letter));
    if query('a') {
        installed().iter().for_each(say::line);
        return 0;
    }
    if !query('q') {
        say::complain("rpm", "only queries are known here: rpm -qa, rpm -q NAME");
        return 1;
    }
    let mut status = 0;
    for name in call.args.iter().filter(|arg| !arg.starts_with('-')) {
        let found: Vec<String> = installed().into_iter().filter(|full| is_package(full, name)).collect();
        if found.is_empty() {
            say::line(format!("package {name} is not installed"));
            status = 1;
        }
        found.iter().for_each(say::line);
    }
    status
}

/// `docker-1.13.1-209.x86_64` is the package `docker`.
fn is_package(full: &str, name: &str) -> bool {
    full == name
        || full
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

pub fn yum(call: &Call) -> u8 {
    let words: Vec<&str> = call.args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    let ["install", names @ ..] = words.as_slice() else {
        say::complain(call.name, "only 'install NAME' is known here");
        return 1;
    };
    if names.is_empty() {
        say::line("Error: Need to pass a list of pkgs to install");
        return 1;
    }
    let apt = call.name == "apt-get" || call.name == "apt";
    let mut wanted = Vec::new();
    let mut missing = false;
    for name in names {
        if let Some(full) = installed().into_iter().find(|full| is_package(full, name)) {
            say::line(format!("Package {full} already installed and latest version"));
            continue;
        }
        let directory = Path::new(SHELF).join(name);
        if name.contains('/') || !directory.is_dir() {
            if apt {
                say::complain("E", format!("Unable to locate package {name}"));
                return 100;
            }
            say::line(format!("No package {name} available."));
            missing = true;
            continue;
        }
        let full =
            std::fs::read_to_string(directory.join(".rpm")).map_or((*name).to_owned(), |text| text.trim().to_owned());
        wanted.push((directory, full));
    }
    if wanted.is_empty() {
        if missing {
            say::complain("Error", "Nothing to do");
            return 1;
        }
        say::line("Nothing to do");
        return 0;
    }
    for (directory, full) in &wanted {
        say::line(format!("  Installing : {full}"));
        if let Err(error) = lay_out(directory, Path::new("/"), true).and_then(|()| record(full)) {
            say::complain(call.name, format!("{full}: {}", say::reason(&error)));
            return 1;
        }
    }
    let names: Vec<&str> = wanted.iter().map(|(_, full)| full.as_str()).collect();
    say::line(format!("\nInstalled:\n  {}\n\nComplete!", names.join("\n  ")));
    0
}

/// Copies a package's tree to its place, keeping modes and symbolic links.
fn lay_out(from: &Path, to: &Path, top: bool) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if top && entry.file_name() == ".rpm" {
            continue;
        }
        let (source, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !target.is_dir() {
                std::fs::create_dir(&target)?;
                std::fs::set_permissions(&target, entry.metadata()?.permissions())?;
            }
            lay_out(&source, &target, false)?;
            continue;
        }
        if target.symlink_metadata().is_ok() {
            std::fs::remove_file(&target)?;
        }
        if kind.is_symlink() {
            symlink(std::fs::read_link(&source)?, &target)?;
        } else {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn record(full: &str) -> io::Result<()> {
    let mut all = installed();
    all.push(full.to_owned());
    all.sort();
    all.dedup();
    if let Some(parent) = Path::new(INSTALLED).parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(INSTALLED, all.join("\n") + "\n")
}
