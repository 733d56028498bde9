//! `updatedb` and `locate`: a database of all paths, at mlocate's place in a format of our own.
//!
//! The database is a magic line, then one absolute path per NUL-terminated record, sorted.

use crate::applets::Call;
use crate::options::Accepts;
use crate::say;
use crate::system::mounts;
use crate::text::glob;
use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const DATABASE: &str = "/var/lib/mlocate/mlocate.db";
const MAGIC: &[u8] = b"layerlab locate 1\n";
/// File systems of the kernel, not of the disk; overlay and tmpfs-backed data stay in.
const PSEUDO: [&str; 16] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "mqueue",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "pstore",
    "configfs",
    "fusectl",
    "binfmt_misc",
    "nsfs",
];
const NETWORK: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "9p", "autofs"];
const PRUNED: [&str; 5] = ["/proc", "/sys", "/dev", "/tmp", "/var/tmp"];

pub fn updatedb(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "updatedb",
        short: "o:U:v",
        long: &[("output", 'o'), ("database-root", 'U'), ("verbose", 'v')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let database = options.value('o').unwrap_or(DATABASE);
    let root = options.value('U').unwrap_or("/");
    let mut skipped: HashSet<PathBuf> = PRUNED.iter().map(PathBuf::from).collect();
    for mount in mounts::read() {
        if PSEUDO.contains(&mount.kind.as_str()) || NETWORK.contains(&mount.kind.as_str()) {
            skipped.insert(PathBuf::from(mount.target));
        }
    }
    let mut paths = Vec::new();
    collect(Path::new(root), &skipped, &mut paths);
    paths.sort();
    if let Err(error) = write(database, &paths) {
        say::complain("updatedb", format!("can not open a temporary file for `{database}': {}", say::reason(&error)));
        return 1;
    }
    0
}

fn collect(directory: &Path, skipped: &HashSet<PathBuf>, paths: &mut Vec<Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        paths.push(path.as_os_str().as_encoded_bytes().to_vec());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !skipped.contains(&path) {
            collect(&path, skipped, paths);
        }
    }
}

/// Writes beside the database and renames, so that `locate` never sees half of it.
fn write(database: &str, paths: &[Vec<u8>]) -> io::Result<()> {
    let database = Path::new(database);
    if let Some(parent) = database.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let fresh = database.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = io::BufWriter::new(std::fs::File::create(&fresh)?);
    out.write_all(MAGIC)?;
    for path in paths {
        out.write_all(path)?;
        out.write_all(b"\0")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    std::fs::rename(&fresh, database)
}

pub fn locate(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "locate",
        short: "bcd:eil:n:rw0q",
        long: &[
            ("basename", 'b'),
            ("count", 'c'),
            ("database", 'd'),
            ("existing", 'e'),
            ("ignore-case", 'i'),
            ("limit", 'l'),
        ],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        say::complain("locate", "no pattern to search for specified");
        return 1;
    }
    let database = options.value('d').unwrap_or(DATABASE);
    let contents = match std::fs::read(database) {
        Ok(contents) => contents,
        Err(error) => {
            say::complain("locate", format!("can not stat () `{database}': {}", say::reason(&error)));
            return 1;
        }
    };
    let Some(records) = contents.strip_prefix(MAGIC) else {
        say::complain("locate", format!("`{database}' does not seem to be a mlocate database"));
        return 1;
    };
    let fold = |text: &str| if options.has('i') { text.to_lowercase() } else { text.to_owned() };
    let patterns: Vec<String> = options.operands.iter().map(|pattern| fold(pattern)).collect();
    let limit = options.value('l').or(options.value('n')).and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let mut count = 0;
    for record in records.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let shown = String::from_utf8_lossy(record);
        let subject = fold(if options.has('b') { crate::applets::basename(&shown) } else { &shown });
        let matches = |pattern: &String| {
            if glob::is_pattern(pattern) {
                glob::matches(pattern, &subject)
            } else {
                subject.contains(pattern.as_str())
            }
        };
        if count >= limit || !patterns.iter().any(matches) {
            continue;
        }
        if options.has('e') && Path::new(shown.as_ref()).symlink_metadata().is_err() {
            continue;
        }
        count += 1;
        if !options.has('c') {
            say::text(&shown);
            say::text(if options.has('0') { "\0" } else { "\n" });
        }
    }
    if options.has('c') {
        say::line(count);
    }
    u8::from(count == 0)
}
