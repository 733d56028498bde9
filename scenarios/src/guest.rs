//! Builds the guest userland: the static multi-call binary that goes into the lab and its images.
//!
//! The guest is the package `scenarios/guest`, compiled by cargo with `+crt-static` into a target directory of its own,
//! `<target>/guest`, so that it never disturbs an outer build. A copy under `<target>/guest/built/<key>/guest` is kept,
//! where `<key>` is a hash of everything the binary is made of; when that file is there, no cargo is started. The builder's
//! directories are mapped to fixed names, so that neither the binary nor the key depends on where anything lies.

use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why there is no guest binary.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("LAYERLAB_GUEST names {path}, which is not an executable file; point it at a guest binary or unset it")]
    BadOverride { path: PathBuf },
    #[error("cannot {operation} {path}: {source}")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot run {program}: {source}; install Rust or set CARGO and RUSTC")]
    NoTool { program: String, source: io::Error },
    #[error("`{program} {asked}` does not tell its {what}; set RUSTC to a working compiler")]
    NoAnswer { program: String, asked: &'static str, what: &'static str },
    #[error("building the guest failed ({status}); cargo said:\n{output}")]
    Build { status: std::process::ExitStatus, output: String },
}

/// Gives the path of the guest binary, building it first when its sources changed.
///
/// `workspace_root` is the directory of the workspace's Cargo.toml; `progress` hears what cargo says, line by line.
/// `LAYERLAB_GUEST=/path` is taken instead when set. Several processes may call this at once: they wait for each other.
pub fn build(workspace_root: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, GuestError> {
    if let Some(path) = std::env::var_os("LAYERLAB_GUEST").map(PathBuf::from) {
        let executable = path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        return if executable { Ok(path) } else { Err(GuestError::BadOverride { path }) };
    }
    let rustc = Rustc::ask()?;
    let directory = target_directory(workspace_root).join("guest");
    let built = directory.join("built");
    make_directory(&built)?;
    let lock_path = directory.join("lock");
    let lock = File::create(&lock_path).map_err(file_error("create", &lock_path))?;
    lock.lock().map_err(file_error("lock", &lock_path))?;
    let key = key(workspace_root, &rustc)?;
    let kept = built.join(&key).join("guest");
    if kept.is_file() {
        return Ok(kept);
    }
    progress("building the guest userland (once per change of its sources)");
    let fresh = compile(workspace_root, &directory, &rustc, progress)?;
    keep(&fresh, &built, &kept)?;
    Ok(kept)
}

struct Rustc {
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Rustc {
    fn ask() -> Result<Rustc, GuestError> {
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let shown = program.to_string_lossy().into_owned();
        let say = |arguments: &[&str]| {
            let output = Command::new(&program).args(arguments).output();
            let output = output.map_err(|source| GuestError::NoTool { program: shown.clone(), source })?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let no_answer = |asked, what| GuestError::NoAnswer { program: shown.clone(), asked, what };
        let version = say(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
        let host = host.ok_or_else(|| no_answer("-vV", "host triple"))?;
        let sysroot = PathBuf::from(say(&["--print", "sysroot"])?.trim_end());
        if sysroot.as_os_str().is_empty() {
            return Err(no_answer("--print sysroot", "sysroot"));
        }
        Ok(Rustc { version, host, sysroot })
    }

    /// Static, and with the builder's directories under fixed names; where two of them match a path, the last one counts.
    fn flags(&self, workspace_root: &Path) -> OsString {
        let mut flags = OsString::from(STATIC);
        let library = self.sysroot.join("lib/rustlib/src/rust");
        let cargo = cargo_home();
        let places = [(&*self.sysroot, SYSROOT), (&*library, LIBRARY), (&*cargo, CARGO), (workspace_root, WORKSPACE)];
        for (from, to) in places {
            flags.push("\u{1f}--remap-path-prefix\u{1f}");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
        flags
    }
}

/// Flags are separated by the character 0x1f, as in CARGO_ENCODED_RUSTFLAGS.
const STATIC: &str = "-C\u{1f}target-feature=+crt-static";
/// What stands in the binary for the directories of whoever built it.
const SYSROOT: &str = "/sysroot";
const LIBRARY: &str = "/library";
const CARGO: &str = "/cargo";
const WORKSPACE: &str = "/layerlab";

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn file_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GuestError {
    let path = path.to_owned();
    move |source| GuestError::File { operation, path, source }
}

fn make_directory(path: &Path) -> Result<(), GuestError> {
    std::fs::create_dir_all(path).map_err(file_error("create", path))
}

fn target_directory(workspace_root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => workspace_root.join(path),
        None => workspace_root.join("target"),
    }
}

/// The hash of compiler, flags, lock file, manifests and sources, 32 hexadecimal digits.
fn key(workspace_root: &Path, rustc: &Rustc) -> Result<String, GuestError> {
    let package = workspace_root.join("scenarios/guest");
    let mut files =
        vec![workspace_root.join("Cargo.toml"), workspace_root.join("Cargo.lock"), package.join("Cargo.toml")];
    sources(&package.join("src"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    hash.update(&rustc.version);
    for flag in [STATIC, SYSROOT, LIBRARY, CARGO, WORKSPACE] {
        hash.update(flag);
    }
    for file in files {
        let contents = std::fs::read(&file).map_err(file_error("read", &file))?;
        let name = file.strip_prefix(workspace_root).unwrap_or(&file);
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(u64::try_from(contents.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(contents);
    }
    Ok(hex::encode(&hash.finalize()[..16]))
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), GuestError> {
    for entry in std::fs::read_dir(directory).map_err(file_error("read", directory))? {
        let path = entry.map_err(file_error("read", directory))?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Runs cargo without what an outer cargo put into the environment; gives the path of the binary in cargo's place.
fn compile(
    workspace_root: &Path,
    directory: &Path,
    rustc: &Rustc,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, GuestError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command
        .current_dir(workspace_root)
        .args(["build", "--package", "layerlab-guest", "--profile", "guest", "--target", &rustc.host, "--target-dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if is_from_outer_build(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustc.flags(workspace_root));
    let no_tool = |source| GuestError::NoTool { program: cargo.to_string_lossy().into_owned(), source };
    let mut child = command.spawn().map_err(no_tool)?;
    let mut output = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            progress(line.trim_end());
            output.push_str(&line);
            output.push('\n');
        }
    }
    let status =
        child.wait().map_err(|source| GuestError::File { operation: "wait for", path: cargo.into(), source })?;
    if !status.success() {
        return Err(GuestError::Build { status, output });
    }
    Ok(directory.join(&rustc.host).join("guest").join("guest"))
}

/// Whether cargo or a test runner set this variable for the outer build; what configures the machine stays.
fn is_from_outer_build(name: &str) -> bool {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_BUILD_JOBS",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY",
        "CARGO_SOURCE_",
    ];
    if name.starts_with("CARGO") {
        return !KEPT.iter().any(|kept| name.starts_with(kept));
    }
    name.starts_with("RUSTC") && name != "RUSTC"
        || name.starts_with("RUSTDOC")
        || matches!(
            name,
            "RUSTFLAGS" | "RUST_LOG" | "RUST_BACKTRACE" | "LD_LIBRARY_PATH" | "__CARGO_DEFAULT_LIB_METADATA"
        )
        || name == "OUT_DIR"
        || name.starts_with("DEP_")
}

/// Copies the binary to its keyed place in one step and forgets older ones.
fn keep(fresh: &Path, built: &Path, kept: &Path) -> Result<(), GuestError> {
    for entry in std::fs::read_dir(built).map_err(file_error("read", built))?.flatten() {
        let path = entry.path();
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        if path.is_dir() && age.is_some_and(|age| age.as_secs() > 24 * 3600) {
            std::fs::remove_dir_all(&path).map_err(file_error("remove", &path))?;
        }
    }
    let place = kept.parent().unwrap_or(built);
    make_directory(place)?;
    let partial = place.join("guest.partial");
    std::fs::copy(fresh, &partial).map_err(file_error("copy the guest to", &partial))?;
    std::fs::rename(&partial, kept).map_err(file_error("rename", &partial))
}
