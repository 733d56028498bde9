//! A package state of our own: lists, downloads and unpacked packages below the target directory, nothing of which the host's apt or dpkg sees.
//!
//! *Holds*: mirrors are those of the host's own sources, signatures are checked by apt, and what is downloaded is what the signed lists say.
//! *Never*: root, an installed package, a hook of the host's apt.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// Debian's keys, where its package `debian-archive-keyring` has them.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HOST_STATUS: &str = "/var/lib/dpkg/status";

/// What a package was, for the report.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub sha256: String,
}

/// A state of packages.
pub struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Of one suite, on the mirror from which the host has its packages; with nothing installed.
    pub fn of_suite(directory: &Path, suite: &str) -> anyhow::Result<Apt> {
        let mirrors = host_mirrors()?;
        let is_security = suite.ends_with("-security");
        let mirror = mirrors.iter().find(|(_, of)| of.ends_with("-security") == is_security);
        let (mirror, _) =
            mirror.with_context(|| format!("the host's apt sources have no mirror that could have {suite}"))?;
        let keys = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
        let apt = Apt::at(directory, &format!("\"{}\"", directory.join("sources.list").display()), "\"/dev/null\"")?;
        fs::write(directory.join("sources.list"), format!("deb {keys}{mirror} {suite} main\n"))?;
        fs::write(directory.join("status"), "")?;
        apt.update()?;
        Ok(apt)
    }

    /// Of the host's own suites, with what the host has installed: a download is what the host lacks.
    pub fn of_host(directory: &Path) -> anyhow::Result<Apt> {
        let apt = Apt::at(directory, "\"/etc/apt/sources.list\"", "\"/etc/apt/sources.list.d\"")?;
        fs::copy(HOST_STATUS, directory.join("status")).with_context(|| format!("cannot read {HOST_STATUS}"))?;
        apt.update()?;
        Ok(apt)
    }

    fn at(directory: &Path, list: &str, parts: &str) -> anyhow::Result<Apt> {
        for below in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(below))?;
        }
        let at = |name: &str| directory.join(name).display().to_string();
        // How to get through to a mirror (a proxy, say) is the host's business; its hooks are not ours.
        let reach = said(Command::new("apt-config").arg("dump"))?;
        let mut settings: String = reach
            .lines()
            .filter(|line| line.starts_with("Acquire::http") || line.starts_with("Acquire::https"))
            .map(|line| format!("{line}\n"))
            .collect();
        for (name, value) in [
            ("Etc::Main", "\"/dev/null\""),
            ("Etc::Parts", "\"/dev/null\""),
            ("Etc::SourceList", list),
            ("Etc::SourceParts", parts),
        ] {
            settings += &format!("Dir::{name} {value};\n");
        }
        settings += &format!(
            "Dir::State::Lists \"{}\";\nDir::State::status \"{}\";\nDir::Cache \"{}\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"2\";\nAPT::Sandbox::User \"root\";\n",
            at("lists"),
            at("status"),
            at("cache")
        );
        fs::write(directory.join("apt.conf"), settings)?;
        Ok(Apt { directory: directory.to_owned() })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", self.directory.join("apt.conf")).env("LC_ALL", "C");
        command.current_dir(&self.directory);
        command
    }

    fn update(&self) -> anyhow::Result<()> {
        // Otherwise an unreachable mirror is a warning, and old lists are taken for new ones.
        said(&mut self.command("apt-get", &["-qq", "-o", "APT::Update::Error-Mode=any", "update"])).map(drop)
    }

    /// The names of all packages that begin so.
    pub fn names(&self, prefix: &str) -> anyhow::Result<String> {
        said(&mut self.command("apt-cache", &["pkgnames", prefix]))
    }

    /// What the signed lists say of the newest version of a package.
    pub fn package(&self, name: &str) -> anyhow::Result<Package> {
        let text = said(&mut self.command("apt-cache", &["--no-all-versions", "show", name]))?;
        let field = |field: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
            value.map(str::to_owned).with_context(|| format!("the lists have no {field} of {name}"))
        };
        Ok(Package { name: field("Package")?, version: field("Version")?, sha256: field("SHA256")? })
    }

    /// Downloads these packages and nothing else, and unpacks them into the directory `to`.
    pub fn unpack(&self, names: &[String], to: &Path) -> anyhow::Result<()> {
        let downloads = self.directory.join("downloads");
        let _ = fs::remove_dir_all(&downloads);
        fs::create_dir_all(&downloads)?;
        let mut download = self.command("apt-get", &["-qq", "download"]);
        said(download.args(names).current_dir(&downloads))?;
        unpack_all(&downloads, to)?;
        Ok(fs::remove_dir_all(&downloads)?)
    }

    /// Downloads a package and all that the host lacks of what it depends on, and unpacks it all into the directory `to`.
    pub fn unpack_with_what_is_lacking(&self, name: &str, to: &Path) -> anyhow::Result<()> {
        let arguments = ["-qq", "--yes", "--no-install-recommends", "--download-only", "install", name];
        said(&mut self.command("apt-get", &arguments))?;
        unpack_all(&self.directory.join("cache/archives"), to)
    }
}

fn unpack_all(archives: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let mut count = 0;
    for entry in fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            said(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(to))?;
            fs::remove_file(&path)?;
            count += 1;
        }
    }
    ensure!(count > 0, "apt downloaded nothing into {}", archives.display());
    Ok(())
}

/// The mirrors of the host's sources, each with a suite that it has.
fn host_mirrors() -> anyhow::Result<Vec<(String, String)>> {
    // Without it nothing would be told of sources whose lists were never fetched.
    let arguments = ["indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"];
    let text = said(Command::new("apt-get").args(arguments))?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(mirror, suite)| (mirror.to_owned(), suite.to_owned())).collect())
}

/// A program of the system, which may be where only root looks.
pub fn system(program: impl AsRef<OsStr>) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// What a program prints; an error with what it complained of when it fails.
pub fn said(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().display().to_string();
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("{program} is not here"),
        output => output.with_context(|| format!("cannot run {program}"))?,
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", complaint.trim().replace('\n', "; "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
