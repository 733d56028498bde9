//! `apt-get`: update, install, remove and clean, in apt's words, for real `.deb` archives of an unsigned repository.

use super::apt_lists::{self, Available};
use super::{ask, dpkg, fetch, size};
use crate::applets::Call;
use crate::options::Accepts;
use crate::say;
use std::path::Path;

const ARCHIVES: &str = "/var/cache/apt/archives";
const STAND_IN: &str = "layerlab's apt-get, a stand-in: archives come from the lab's repository, checksums are verified, \
                        signatures are not";

pub fn apt_get(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "apt-get",
        short: "yq",
        long: &[
            ("yes", 'y'),
            ("assume-yes", 'y'),
            ("quiet", 'q'),
            ("no-install-recommends", 'R'),
            ("help", 'h'),
            ("version", 'v'),
        ],
        misuse: 100,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let very_quiet = options.count('q') > 1;
    let Some((command, names)) = options.operands.split_first().filter(|_| !options.has('h') && !options.has('v'))
    else {
        say::line(STAND_IN);
        say::line("Usage: apt-get [-y] [-q|-qq] [--no-install-recommends] update|install PKG...|remove PKG...|clean");
        return 0;
    };
    if !very_quiet {
        say::line(STAND_IN);
    }
    let chosen = Choice { yes: options.has('y') || very_quiet, very_quiet };
    match command.as_str() {
        "update" if !names.is_empty() => {
            say::complain("E", "The update command takes no arguments");
            100
        }
        "update" => apt_lists::update(very_quiet),
        "install" => chosen.install(names),
        "remove" | "purge" => chosen.remove(names),
        "clean" => clean(),
        other => {
            say::complain(
                "E",
                format!("Invalid operation {other}: there are update, install, remove, purge and clean"),
            );
            100
        }
    }
}

struct Choice {
    yes: bool,
    very_quiet: bool,
}

impl Choice {
    fn tell(&self, line: impl std::fmt::Display) {
        if !self.very_quiet {
            say::line(line);
            say::flush();
        }
    }

    fn begin(&self) {
        self.tell("Reading package lists... Done\nBuilding dependency tree\nReading state information... Done");
    }

    fn confirmed(&self) -> bool {
        if self.yes {
            return true;
        }
        let agreed = ask("Do you want to continue? [Y/n] ", 'y') == Some('y');
        if !agreed {
            say::line("Abort.");
        }
        agreed
    }

    fn install(&self, names: &[String]) -> u8 {
        self.begin();
        let mut wanted: Vec<Available> = Vec::new();
        let mut queue: Vec<String> = names.to_vec();
        while let Some(name) = (!queue.is_empty()).then(|| queue.remove(0)) {
            if wanted.iter().any(|known| known.package.get("Package") == name) {
                continue;
            }
            if dpkg::is_installed(&name) {
                if names.contains(&name) {
                    self.tell(format!("{name} is already the newest version."));
                }
                continue;
            }
            if let Some(at) = name.find(['=', '/', ':']) {
                let only = "there is one version, one release and one architecture";
                say::complain("E", format!("{name}: leave out '{}', {only}", &name[at..]));
                return 100;
            }
            let Some(found) = apt_lists::find(&name) else {
                say::complain("E", format!("Unable to locate package {name}"));
                return 100;
            };
            queue.extend(found.package.depends().map(str::to_owned));
            wanted.push(found);
        }
        // What others need comes first.
        wanted.reverse();
        let listed = |chosen: &dyn Fn(&str) -> bool| {
            let mut names: Vec<&str> =
                wanted.iter().map(|found| found.package.get("Package")).filter(|name| chosen(name)).collect();
            names.sort_unstable();
            names.join(" ")
        };
        let asked = |name: &str| names.iter().any(|asked| asked == name);
        let additional = listed(&|name| !asked(name));
        if !additional.is_empty() {
            self.tell(format!("The following additional packages will be installed:\n  {additional}"));
        }
        if !wanted.is_empty() {
            self.tell(format!("The following NEW packages will be installed:\n  {}", listed(&|_| true)));
        }
        self.tell(format!("0 upgraded, {} newly installed, 0 to remove and 0 not upgraded.", wanted.len()));
        if wanted.is_empty() {
            return 0;
        }
        let sum =
            |field: &str| -> u64 { wanted.iter().filter_map(|one| one.package.get(field).parse::<u64>().ok()).sum() };
        self.tell(format!("Need to get {} of archives.", size(sum("Size"))));
        let installed = size(sum("Installed-Size") * 1024);
        self.tell(format!("After this operation, {installed} of additional disk space will be used."));
        if !additional.is_empty() && !self.confirmed() {
            return 1;
        }
        self.fetch_and_unpack(&wanted)
    }

    fn fetch_and_unpack(&self, wanted: &[Available]) -> u8 {
        let mut archives = Vec::new();
        for (number, found) in (1..).zip(wanted) {
            let (name, version) = (found.package.get("Package"), found.package.get("Version"));
            let deb = match fetch::archive(&found.base, &found.package) {
                Ok(deb) => deb,
                Err(what) => {
                    let url = format!("{}/{}", found.base, found.package.get("Filename"));
                    say::complain("E", format!("Failed to fetch {url}  {what}"));
                    say::complain("E", "Unable to fetch some archives, maybe run apt-get update?");
                    return 100;
                }
            };
            let came = size(deb.len() as u64);
            self.tell(format!("Get:{number} {} {name} amd64 {version} [{came}]", found.origin));
            let file = format!("{name}_{}_amd64.deb", version.replace(':', "%3a"));
            let kept = std::fs::create_dir_all(Path::new(ARCHIVES).join("partial"))
                .and_then(|()| std::fs::write(Path::new(ARCHIVES).join(&file), &deb));
            if let Err(error) = kept {
                say::complain("E", format!("You don't have enough free space in {ARCHIVES}/: {}", say::reason(&error)));
                return 100;
            }
            archives.push((name, version, file, deb));
        }
        self.tell(format!("Fetched {}", size(archives.iter().map(|(.., deb)| deb.len() as u64).sum())));
        for (name, version, file, deb) in &archives {
            dpkg::announce(name, version, &format!(".../{file}")).iter().for_each(|line| self.tell(line));
            if let Err(error) = dpkg::install(deb) {
                say::complain("dpkg", format!("error processing archive {ARCHIVES}/{file}: {}", say::reason(&error)));
                say::complain("E", "Sub-process /usr/bin/dpkg returned an error code (1)");
                return 100;
            }
        }
        for (name, version, ..) in &archives {
            self.tell(format!("Setting up {name} ({version}) ..."));
        }
        0
    }

    fn remove(&self, names: &[String]) -> u8 {
        self.begin();
        let (asked, absent): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| dpkg::is_installed(name));
        let present = dpkg::with_dependents(&asked);
        for name in &absent {
            if apt_lists::find(name).is_none() {
                say::complain("E", format!("Unable to locate package {name}"));
                return 100;
            }
            self.tell(format!("Package '{name}' is not installed, so not removed"));
        }
        if !present.is_empty() {
            self.tell(format!("The following packages will be REMOVED:\n  {}", present.join(" ")));
        }
        self.tell(format!("0 upgraded, 0 newly installed, {} to remove and 0 not upgraded.", present.len()));
        if present.is_empty() {
            return 0;
        }
        if !self.confirmed() {
            return 1;
        }
        for name in &present {
            self.tell(format!("Removing {name} ..."));
            if let Err(error) = dpkg::remove(name) {
                say::complain("dpkg", format!("error processing package {name}: {}", say::reason(&error)));
                return 100;
            }
        }
        0
    }
}

fn clean() -> u8 {
    let archives = std::fs::read_dir(ARCHIVES).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in archives.filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        if let Err(error) = std::fs::remove_file(&path) {
            say::complain("E", format!("Unable to remove {}: {}", path.display(), say::reason(&error)));
            return 100;
        }
    }
    0
}
