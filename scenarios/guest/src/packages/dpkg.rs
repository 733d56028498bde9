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

/// Unpacks a `.deb` and writes it into the database.
pub fn install(deb: &[u8]) -> io::Result<()> {
    let (control, data) = unpack::parts_of_deb(deb)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "its control file names no package");
    let mut package = stanza::parse(&control).into_iter().next().ok_or_else(bad)?;
    let name = package.get("Package").to_owned();
    if name.is_empty() || name.contains('/') {
        return Err(bad());
    }
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
                if let Err(error) = std::fs::read(file).and_then(|deb| install(&deb)) {
                    say::complain("dpkg", format!("error processing archive {file}: {}", say::reason(&error)));
                    status = 1;
                }
            }
            status
        }
        _ => {
            say::complain("dpkg", "error: layerlab's stand-in knows -l [NAME], -L NAME, -s NAME and -i FILE");
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
