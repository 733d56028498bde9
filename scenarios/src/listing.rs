//! The one text form of a directory tree: sorted, one line an entry, comparable with any diff tool.
//!
//! `type mode uid:gid size path -> target xattr=value…`: type is one letter as in `ls` (`-dlbcps`), mode octal, size in bytes
//! and only for regular files (`-` for others), xattr values as text if they are, else in hex. Of overlayfs's own attributes
//! that hold a random number or a file handle only the name is shown.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// The listing of everything below `root`; `root` itself is the first line, with the path `.`.
pub fn listing(root: &Path) -> io::Result<String> {
    listing_without_sizes(root, &|_| false)
}

/// The same with `-` for the size of every file that `is_volatile` names (its path is given below `root`): files whose length
/// differs from run to run, such as a log.
pub fn listing_without_sizes(root: &Path, is_volatile: &dyn Fn(&Path) -> bool) -> io::Result<String> {
    let mut lines = String::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        lines.push_str(&line(entry.path(), path, is_volatile(path))?);
        lines.push('\n');
    }
    Ok(lines)
}

/// The line of one entry: `full` is where it lies, `path` what is shown.
pub(crate) fn line(full: &Path, path: &Path, is_volatile: bool) -> io::Result<String> {
    let meta = full.symlink_metadata()?;
    let shown = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let size = if meta.is_file() && !is_volatile { meta.size().to_string() } else { "-".into() };
    let mode = meta.mode() & 0o7777;
    let mut line = format!("{} {mode:04o} {}:{} {size} {}", letter(&meta), meta.uid(), meta.gid(), shown.display());
    if meta.is_symlink() {
        line += &format!(" -> {}", std::fs::read_link(full)?.display());
    }
    if meta.file_type().is_block_device() || meta.file_type().is_char_device() {
        line += &format!(" {}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    }
    for (name, value) in xattrs(full)? {
        let name = name.to_string_lossy();
        let is_handle = HANDLES.iter().any(|handle| name.ends_with(handle));
        line += &if is_handle { format!(" {name}") } else { format!(" {name}={}", shown_value(&value)) };
    }
    Ok(line)
}

/// Ends of the names of overlayfs's attributes whose values differ on every machine.
const HANDLES: [&str; 3] = [".overlay.uuid", ".overlay.origin", ".overlay.upper"];

fn letter(meta: &Metadata) -> char {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_block_device() => 'b',
        () if kind.is_char_device() => 'c',
        () if kind.is_fifo() => 'p',
        () if kind.is_socket() => 's',
        () => '-',
    }
}

pub fn xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsString::from_vec(name.to_vec());
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, &name, &mut value)?;
        value.truncate(length);
        found.insert(name, value);
    }
    Ok(found)
}

fn shown_value(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        _ => format!("0x{}", hex::encode(value)),
    }
}

/// 64-digit ids and 26-character links.
static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{64}|[A-Z2-7]{26})\b").expect("a valid expression"));

/// Writes `<1>`, `<2>` … for ids and links, in order of appearance, and sorts the lines in an order that does not depend on
/// them: two listings that differ only in ids come out alike.
pub fn normalise(listing: &str) -> String {
    normalise_further(listing, &mut BTreeMap::new())
}

/// The same, with the numbers that ids have in `numbers` already, so that a later listing of the same tree shows what
/// became of it.
///
/// Ids are told apart by the lines they stand in, then by the ids beside them, as often as that tells more of them apart
/// (colour refinement); ids that are still alike are interchangeable.
pub fn normalise_further(listing: &str, numbers: &mut BTreeMap<String, usize>) -> String {
    let lines: Vec<&str> = listing.lines().collect();
    let mut colours: BTreeMap<&str, usize> = lines.iter().flat_map(|line| ids(line)).map(|id| (id, 0)).collect();
    loop {
        let refined = refine(&lines, &colours);
        let is_settled = distinct(&refined) == distinct(&colours);
        colours = refined;
        if is_settled {
            break;
        }
    }
    let key = |line: &str| {
        ID.replace_all(line, |found: &regex::Captures<'_>| format!("<{:06}>", colours[&found[0]])).into_owned()
    };
    let mut ordered: Vec<(String, &str)> = lines.iter().map(|line| (path_first(&key(line)), *line)).collect();
    ordered.sort();
    let mut numbered: Vec<String> = ordered.iter().map(|(_, line)| number(line, numbers)).collect();
    numbered.sort_by_cached_key(|line| path_first(line));
    numbered.iter().map(|line| format!("{line}\n")).collect()
}

/// Writes `<n>` for every id and link in `text`, the number it has in `numbers` or the next free one.
pub fn number(text: &str, numbers: &mut BTreeMap<String, usize>) -> String {
    let name = |found: &regex::Captures<'_>| {
        let next = numbers.len() + 1;
        format!("<{}>", numbers.entry(found[0].to_owned()).or_insert(next))
    };
    ID.replace_all(text, name).into_owned()
}

fn ids(line: &str) -> impl Iterator<Item = &str> {
    ID.find_iter(line).map(|found| found.as_str())
}

fn distinct(colours: &BTreeMap<&str, usize>) -> usize {
    colours.values().collect::<std::collections::BTreeSet<_>>().len()
}

/// One round: an id's new colour is the rank of its old one together with all lines it stands in.
fn refine<'l>(lines: &[&'l str], colours: &BTreeMap<&'l str, usize>) -> BTreeMap<&'l str, usize> {
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in lines {
        for id in ids(line) {
            let masked = ID.replace_all(line, |found: &regex::Captures<'_>| match &found[0] {
                this if this == id => "<this>".to_owned(),
                other => format!("<{:06}>", colours[other]),
            });
            seen.entry(id).or_default().push(masked.into_owned());
        }
    }
    let mut signed: Vec<(usize, Vec<String>, &str)> = Vec::new();
    for (id, mut lines) in seen {
        lines.sort();
        signed.push((colours[id], lines, id));
    }
    signed.sort();
    let mut refined = BTreeMap::new();
    let mut colour = 0;
    for (at, (old, lines, id)) in signed.iter().enumerate() {
        if at > 0 && (&signed[at - 1].0, &signed[at - 1].1) != (old, lines) {
            colour += 1;
        }
        refined.insert(*id, colour);
    }
    refined
}

/// The sort key of a listing line: its path before its other columns.
fn path_first(line: &str) -> String {
    match line.splitn(5, ' ').collect::<Vec<_>>()[..] {
        [kind, mode, owner, size, path] => format!("{path} {kind} {mode} {owner} {size}"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(base: char, top: char) -> String {
        let (base, top) = (base.to_string().repeat(64), top.to_string().repeat(64));
        let mut lines = [
            format!("d 0755 0:0 - overlay2/{base}/diff"),
            format!("- 0644 0:0 4 overlay2/{base}/diff/etc"),
            format!("d 0755 0:0 - overlay2/{top}/diff"),
            format!("- 0644 0:0 3 overlay2/{top}/lower-of-{base}"),
        ];
        lines.sort_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
        lines.join("\n")
    }

    #[test]
    fn trees_that_differ_only_in_ids_are_normalised_alike() {
        assert_eq!(normalise(&tree('a', 'b')), normalise(&tree('b', 'a')));
        assert!(normalise(&tree('a', 'b')).contains("overlay2/<1>/diff"));
    }

    #[test]
    fn trees_that_differ_otherwise_are_not_normalised_alike() {
        assert_ne!(normalise(&tree('a', 'b')), normalise(&tree('a', 'b').replace("etc", "var")));
    }

    #[test]
    fn a_listing_names_type_mode_size_and_target() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("d/file"), "four").unwrap();
        std::os::unix::fs::symlink("d/file", root.path().join("link")).unwrap();
        let owner = format!("{}:{}", rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let text = listing(root.path()).unwrap();
        assert!(text.lines().any(|line| line.ends_with(&format!("{owner} 4 d/file"))), "{text}");
        assert!(text.lines().any(|line| line.starts_with("l 0777") && line.ends_with("- link -> d/file")), "{text}");
        let without = listing_without_sizes(root.path(), &|path| path.ends_with("file")).unwrap();
        assert!(without.lines().any(|line| line.ends_with(&format!("{owner} - d/file"))), "{without}");
    }

    #[test]
    fn a_listing_of_nothing_is_an_error_that_names_it() {
        assert!(listing(Path::new("/nowhere/at/all")).unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
