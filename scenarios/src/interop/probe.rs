//! The layer that a commit of a container has, entry by entry: made, looked at and removed again.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::files::Diff;
use super::table::{Fault, Table};

/// The name of an image that is there for a moment.
const PROBE: &str = "probe:1";

/// A line for each entry of the topmost layer, in the tar's order, but of what one of both may leave out.
pub fn layer(table: &Table, container: &str, diff: &Diff) -> Result<String, Fault> {
    table.sees(&["commit", container, PROBE])?;
    let said = table.looks(&["save", PROBE])?;
    table.sees(&["rmi", PROBE])?;
    if said.code != 0 {
        return Ok(said.errors);
    }
    let broken = Fault::io(format!("the archive of a commit of {container}"));
    let manifest: Value = serde_json::from_slice(&member(&said.output, "manifest.json").map_err(&broken)?)
        .map_err(Fault::io("the manifest of a commit"))?;
    let top = manifest[0]["Layers"].as_array().and_then(|layers| layers.last()?.as_str()).unwrap_or_default();
    let tar = member(&said.output, top).map_err(&broken)?;
    Ok(entries(&tar, diff).map_err(&broken)?.join("\n"))
}

/// The bytes of one file of an archive.
fn member(archive: &[u8], path: &str) -> std::io::Result<Vec<u8>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(path) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            // A layer that several images have is a link to another.
            return match entry.link_name()?.filter(|_| entry.header().entry_type().is_symlink()) {
                Some(target) => member(archive, &target.display().to_string().replacen("../", "", 1)),
                None => Ok(content),
            };
        }
    }
    Err(std::io::Error::other(format!("no {path}")))
}

/// Names of one file each have the line of the file: dockerd writes a copy for a new name of an old file where it compares trees, and we a link and
/// the old name with its directories, too. Of a file with several names, and of directories, only those count that `docker diff` lists.
fn entries(tar: &[u8], diff: &Diff) -> std::io::Result<Vec<String>> {
    let mut files: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = format!("/{}", entry.path()?.display()).trim_end_matches('/').to_owned();
        let target = entry.link_name()?.unwrap_or_default().into_owned();
        let file = match entry.header().entry_type().is_hard_link() {
            true => format!("/{}", target.display()),
            false => {
                files.insert(path.clone(), (line(&mut entry, &target)?, 0));
                path.clone()
            }
        };
        let known = files.get_mut(&file).ok_or_else(|| std::io::Error::other(format!("no {file} for {path}")))?;
        known.1 += 1;
        names.push((path, file));
    }
    let listed = |path: &str| diff.lines.iter().any(|line| line[2..] == *path);
    let counts = |(path, file): &&(String, String)| {
        let (line, count) = &files[file];
        let is_plain = *count == 1 && !line.starts_with("Directory ");
        !diff.or.iter().any(|line| line[2..] == *path) && (is_plain || listed(path))
    };
    Ok(names.iter().filter(counts).map(|(path, file)| format!("{path} {}", files[file].0)).collect())
}

fn line(entry: &mut tar::Entry<'_, &[u8]>, target: &Path) -> std::io::Result<String> {
    let header = entry.header().clone();
    let mut records = Vec::new();
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        records.push(format!("{}={}", String::from_utf8_lossy(record.key_bytes()), hex::encode(record.value_bytes())));
    }
    // A whiteout that was found by comparison has the time of the commit, and no mode (moby 20.10, changes.go, `ExportChanges`).
    let time = if header.mode()? == 0 { 0 } else { header.mtime()? };
    let owner = |name: Result<Option<&str>, _>| name.ok().flatten().unwrap_or_default().to_owned();
    let kind = header.entry_type();
    let is_device = kind.is_character_special() || kind.is_block_special();
    let device = if is_device { (header.device_major()?, header.device_minor()?) } else { (None, None) };
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(format!(
        "{kind:?} {:o} {}:{} {}:{} {time} {device:?} {} {} {}",
        header.mode()?,
        header.uid()?,
        header.gid()?,
        owner(header.username()),
        owner(header.groupname()),
        target.display(),
        records.join(","),
        hex::encode(&Sha256::digest(&content)[..8]),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::mark::{Mark, joined, tar_of};
    use super::*;

    #[test]
    fn every_attribute_of_an_entry_is_in_its_line() {
        let of = |tar: &[u8]| entries(tar, &Diff::default()).unwrap();
        let plain = of(&tar_of("w/a", "1", &[]));
        assert_eq!(plain.len(), 1);
        assert!(plain[0].starts_with("/w/a Regular 644 0:0 : 1000000000 "), "{plain:?}");
        assert_ne!(of(&tar_of("w/a", "2", &[])), plain);
        assert_ne!(of(&tar_of("w/a", "1", &[Mark::Capability])), plain);
        let two = joined(tar_of("w/a", "1", &[]), &tar_of("w/b", "1", &[]));
        let or = Diff { or: ["C /w/b".to_owned()].into(), ..Diff::default() };
        assert_eq!(entries(&two, &or).unwrap(), plain);
    }

    #[test]
    fn a_new_name_of_an_old_file_is_the_same_as_a_copy_and_as_a_link() {
        let mut link = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        link.append_link(&mut header, "w/new", "w/old").unwrap();
        let linked = joined(tar_of("w/old", "1", &[]), &link.into_inner().unwrap());
        let diff = Diff { lines: vec!["A /w/new".into()], ..Diff::default() };
        assert_eq!(entries(&linked, &diff).unwrap(), entries(&tar_of("w/new", "1", &[]), &diff).unwrap());
    }
}
