//! `dpkg`: the database of installed packages, below /var/lib/dpkg, and the queries -l, -L, -s, -i.

use super::stanza::{self, Stanza};
use super::unpack;
use crate::applets::Call;
use crate::say;
use std::io;
use std::path::{Path, PathBuf};

const STATUS: &str = "/var/lib/dpkg/status";
const INFO: &str = "/var/lib/dpkg/info";

/// Every package the database knows as installed.
pub fn installed() -> Vec<Stanza> {
    stanza::read(STATUS).into_iter().filter(|package| package.get("Status").ends_with(" installed")).collect()
}

pub fn is_installed(name: &str) -> bool {
    installed().iter().any(|package| package.get("Package") == name)
}

fn list_path(name: &str) -> PathBuf {
    Path::new(INFO).join(format!("{name}.list"))
}

/// The paths a package brought, as its list has them.
pub fn files_of(name: &str) -> io::Result<Vec<String>> {
    Ok(std::fs::read_to_string(list_path(name))?.lines().map(str::to_owned).collect())
}

/// How many paths all packages together have.
pub fn count_files() -> usize {
    installed().iter().filter_map(|package| files_of(package.get("Package")).ok()).map(|files| files.len()).sum()
}

/// What dpkg says before it unpacks a package.
pub fn announce(name: &str, version: &str, archive: &str) -> Vec<String> {
    let old = installed().into_iter().find(|package| package.get("Package") == name);
    let over = old.as_ref().map_or(String::new(), |old| format!("over ({}) ", old.get("Version")));
    let mut said = vec![
        format!("(Reading database ... {} files and directories currently installed.)", count_files()),
        format!("Preparing to unpack {archive} ..."),
        format!("Unpacking {name} ({version}) {over}..."),
    ];
    if old.is_none() {
        said.insert(0, format!("Selecting previously unselected package {name}."));
    }
    said
}

/// `names` and the installed packages that cannot be without them, those before what they need.
pub fn with_dependents(names: &[String]) -> Vec<String> {
    let (all, mut found) = (installed(), names.to_vec());
    let mut at = 0;
    while at < found.len() {
        let dependents = all.iter().filter(|package| package.depends().any(|needed| needed == found[at]));
        let new: Vec<String> =
            dependents.map(|package| package.get("Package").to_owned()).filter(|name| !found.contains(name)).collect();
        found.extend(new);
        at += 1;
    }
    found.reverse();
    found
}

/// The control stanza of a `.deb`, and its data.
fn opened(deb: &[u8]) -> io::Result<(Stanza, Vec<u8>)> {
    let (control, data) = unpack::parts_of_deb(deb)?;
    let package = stanza::parse(&control).into_iter().next().unwrap_or_default();
    let name = package.get("Package");
    if name.is_empty() || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its control file names no package"));
    }
    Ok((package, data))
}

/// `dpkg -i`: one archive, whose dependencies must be there.
fn install_file(file: &str) -> Result<(), String> {
    let said = |error: io::Error| say::reason(&error);
    let deb = std::fs::read(file).map_err(said)?;
    let (package, _) = opened(&deb).map_err(said)?;
    let (name, version) = (package.get("Package"), package.get("Version"));
    if let Some(missing) = package.depends().find(|needed| !is_installed(needed)) {
        return Err(format!("{name} depends on {missing}; however, package {missing} is not installed"));
    }
    announce(name, version, file).iter().for_each(say::line);
    install(&deb).map_err(said)?;
    say::line(format!("Setting up {name} ({version}) ..."));
    Ok(())
}

/// Unpacks a `.deb` and writes it into the database.
pub fn install(deb: &[u8]) -> io::Result<()> {
    let (mut package, data) = opened(deb)?;
    let name = package.get("Package").to_owned();
    let files = unpack::data(&data)?;
    std::fs::create_dir_all(INFO)?;
    std::fs::write(list_path(&name), files.join("\n") + "\n")?;
    package.set("Status", "install ok installed");
    let mut all = stanza::read(STATUS);
    all.retain(|other| other.get("Package") != name);
    all.push(package);
    all.sort_by(|a, b| a.get("Package").cmp(b.get("Package")));
    std::fs::write(STATUS, stanza::text(&all))
}

/// Removes a package's files, the directories that are empty then, and its entry.
pub fn remove(name: &str) -> io::Result<()> {
    let others: Vec<String> = installed()
        .iter()
        .map(|package| package.get("Package").to_owned())
        .filter(|other| other != name)
        .filter_map(|other| files_of(&other).ok())
        .flatten()
        .collect();
    for path in files_of(name)?.iter().rev().filter(|path| *path != "/." && !others.contains(path)) {
        match Path::new(path).symlink_metadata() {
            Ok(found) if found.is_dir() => {
                // A directory in which something is left stays.
                let _ = std::fs::remove_dir(path);
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
    }
    std::fs::remove_file(list_path(name))?;
    let mut all = stanza::read(STATUS);
    all.retain(|package| package.get("Package") != name);
    std::fs::write(STATUS, stanza::text(&all))
}

pub fn dpkg(call: &Call) -> u8 {
    let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["-l" | "--list", names @ ..] => list(names),
        ["-L" | "--listfiles", names @ ..] if !names.is_empty() => {
            each(names, |name| files_of(name).ok().map(|files| files.iter().for_each(say::line)))
        }
        ["-s" | "--status", names @ ..] if !names.is_empty() => each(names, |name| {
            let found = installed().into_iter().find(|package| package.get("Package") == name)?;
            say::line(found.to_string().trim_end());
            Some(())
        }),
        ["-i" | "--install", files @ ..] if !files.is_empty() => {
            let mut status = 0;
            for file in files {
                if let Err(why) = install_file(file) {
                    say::complain("dpkg", format!("error processing archive {file} (--install):\n {why}"));
                    status = 1;
                }
            }
            status
        }
        [option, ..] if !matches!(*option, "-L" | "--listfiles" | "-s" | "--status" | "-i" | "--install") => {
            let known = "layerlab's stand-in knows -l [NAME], -L NAME, -s NAME and -i FILE";
            say::complain("dpkg", format!("error: unknown option {option}: {known}"));
            2
        }
        [option, ..] => {
            say::complain("dpkg", format!("error: {option} needs at least one package name or archive"));
            2
        }
        [] => {
            say::complain("dpkg", "error: need an action option: -l [NAME], -L NAME, -s NAME or -i FILE");
            2
        }
    }
}

fn each(names: &[&str], show: impl Fn(&str) -> Option<()>) -> u8 {
    let mut status = 0;
    for name in names {
        if !is_installed(name) || show(name).is_none() {
            say::complain("dpkg-query", format!("package '{name}' is not installed"));
            status = 1;
        }
    }
    status
}

fn list(names: &[&str]) -> u8 {
    let all = installed();
    let chosen: Vec<&Stanza> =
        all.iter().filter(|package| names.is_empty() || names.contains(&package.get("Package"))).collect();
    if let Some(name) = names.iter().find(|name| !all.iter().any(|package| package.get("Package") == **name)) {
        say::complain("dpkg-query", format!("no packages found matching {name}"));
        return 1;
    }
    let width = |field: &str, title: &str| {
        chosen.iter().map(|package| package.get(field).len()).max().unwrap_or(0).max(title.len())
    };
    let (name, version) = (width("Package", "Name"), width("Version", "Version"));
    say::line("Desired=Unknown/Install/Remove/Purge/Hold");
    say::line("| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend");
    say::line("|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)");
    say::line(format!("||/ {:name$} {:version$} Architecture Description", "Name", "Version"));
    say::line(format!("+++-{}-{}-============-{}", "=".repeat(name), "=".repeat(version), "=".repeat(32)));
    for package in chosen {
        say::line(format!(
            "ii  {:name$} {:version$} {:12} {}",
            package.get("Package"),
            package.get("Version"),
            package.get("Architecture"),
            package.get("Description").lines().next().unwrap_or_default()
        ));
    }
    0
}
