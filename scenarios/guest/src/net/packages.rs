//! `rpm -q`, `rpm -ql` and `yum install`: packages of the repositories in /etc/yum.repos.d, or of a shelf on this machine.
//!
//! The shelf is for what a repository cannot hold, such as the engine under test:
//! `/usr/share/lab/packages/NAME/` holds the files to copy to `/`; an optional `.rpm` file in it gives the full name that
//! goes into the list `/var/lib/rpm/packages` (one name per line), which `rpm -qa` prints.

use crate::applets::Call;
use crate::options::Accepts;
use crate::packages::yum as repositories;
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
    let long = [("query", 'q'), ("all", 'a'), ("list", 'l')];
    let accepts = Accepts { name: "rpm", short: "qal", long: &long, misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if !options.has('q') || options.has('a') && options.has('l') {
        say::complain("rpm", "only these queries are known here: rpm -qa, rpm -q NAME, rpm -ql NAME");
        return 1;
    }
    if options.has('a') {
        let named =
            |full: &String| options.operands.is_empty() || options.operands.iter().any(|name| is_package(full, name));
        installed().iter().filter(|full| named(full)).for_each(say::line);
        return 0;
    }
    if options.operands.is_empty() {
        say::complain("rpm", "no arguments given for query");
        return 1;
    }
    let mut status = 0;
    for name in &options.operands {
        let found: Vec<String> = installed().into_iter().filter(|full| is_package(full, name)).collect();
        if found.is_empty() {
            say::line(format!("package {name} is not installed"));
            status = 1;
        }
        for full in found {
            if !options.has('l') {
                say::line(full);
            } else if let Some(files) = repositories::files_of(name) {
                say::text(files);
            } else {
                say::complain("rpm", format!("{full} was not installed by yum: no list of its files is kept"));
                status = 1;
            }
        }
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
    let accepts = Accepts { name: "yum", short: "yq", long: &[("assumeyes", 'y'), ("quiet", 'q')], misuse: 1 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let quiet = options.has('q');
    let (command, names) = options.operands.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    if command != "install" {
        say::complain(
            call.name,
            format!("'{command}': this stand-in knows the command install [-y] [-q] NAME... only"),
        );
        return 1;
    }
    if names.is_empty() {
        say::line("Error: Need to pass a list of pkgs to install");
        return 1;
    }
    let (mut shelved, mut remote, mut missing) = (Vec::new(), Vec::new(), false);
    let mut all = None;
    for name in names {
        if let Some(full) = installed().into_iter().find(|full| is_package(full, name)) {
            say::line(format!("Package {full} already installed and latest version"));
            continue;
        }
        let directory = Path::new(SHELF).join(name);
        if !name.contains('/') && directory.is_dir() {
            shelved.push(directory);
            continue;
        }
        if all.is_none() {
            match repositories::available() {
                Ok(found) => all = Some(found),
                Err(what) => {
                    say::complain("Error", format!("cannot reach a repository: {what}"));
                    return 1;
                }
            }
        }
        if all.iter().flatten().any(|one| one.package.get("Package") == name) {
            remote.push(name.clone());
        } else {
            say::line(format!("No package {name} available."));
            missing = true;
        }
    }
    if shelved.is_empty() && remote.is_empty() {
        if missing {
            say::complain("Error", "Nothing to do");
            return 1;
        }
        say::line("Nothing to do");
        return 0;
    }
    let all = all.unwrap_or_default();
    let is_here = |name: &str| installed().iter().any(|full| is_package(full, name));
    let chosen: Vec<_> =
        repositories::with_dependencies(remote, &all, &is_here).into_iter().map(|at| &all[at]).collect();
    if !chosen.is_empty() && !repositories::confirmed(&chosen, options.has('y'), quiet) {
        return 1;
    }
    let mut done = Vec::new();
    let mut install = |full: String, unpack: &dyn Fn() -> Result<(), String>| {
        if !quiet {
            say::line(format!("  Installing : {full}"));
            say::flush();
        }
        if let Err(what) = unpack().and_then(|()| record(&full).map_err(|error| say::reason(&error))) {
            say::complain(call.name, format!("{full}: {what}"));
            return false;
        }
        done.push(full);
        true
    };
    for directory in &shelved {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let full = std::fs::read_to_string(directory.join(".rpm")).map_or(name, |text| text.trim().to_owned());
        if !install(full, &|| lay_out(directory, Path::new("/"), true).map_err(|error| say::reason(&error))) {
            return 1;
        }
    }
    for one in chosen {
        if !install(one.full_name(), &|| repositories::install(one)) {
            return 1;
        }
    }
    if !quiet {
        say::line(format!("\nInstalled:\n  {}\n\nComplete!", done.join("\n  ")));
    }
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
