//! The layer that a commit of a container has, entry by entry: made, looked at and removed again.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::table::{Fault, Table};

/// The name of an image that is there for a moment.
const PROBE: &str = "probe:1";

/// A line for each entry of the topmost layer, in the tar's order; `passed_over` are paths that one of both may leave out.
pub fn layer(table: &Table, container: &str, passed_over: &BTreeSet<String>) -> Result<String, Fault> {
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
    Ok(entries(&tar, passed_over).map_err(&broken)?.join("\n"))
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

fn entries(tar: &[u8], passed_over: &BTreeSet<String>) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = format!("/{}", entry.path()?.display());
        if passed_over.contains(path.trim_end_matches('/')) {
            continue;
        }
        let (header, target) = (entry.header().clone(), entry.link_name()?.unwrap_or_default().into_owned());
        let mut records = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            records.push(format!(
                "{}={}",
                String::from_utf8_lossy(record.key_bytes()),
                hex::encode(record.value_bytes())
            ));
        }
        // A whiteout that was found by comparison has the time of the commit, and no mode (moby 20.10, changes.go, `ExportChanges`).
        let time = if header.mode()? == 0 { 0 } else { header.mtime()? };
        let owner = |name: Result<Option<&str>, _>| name.ok().flatten().unwrap_or_default().to_owned();
        let kind = header.entry_type();
        let is_device = kind.is_character_special() || kind.is_block_special();
        let device = if is_device { (header.device_major()?, header.device_minor()?) } else { (None, None) };
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        lines.push(format!(
            "{path} {:?} {:o} {}:{} {}:{} {time} {device:?} {} {} {}",
            kind,
            header.mode()?,
            header.uid()?,
            header.gid()?,
            owner(header.username()),
            owner(header.groupname()),
            target.display(),
            records.join(","),
            hex::encode(&Sha256::digest(&content)[..8]),
        ));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::mark::{Mark, joined, tar_of};
    use super::*;

    #[test]
    fn every_attribute_of_an_entry_is_in_its_line() {
        let none = BTreeSet::new();
        let of = |tar: &[u8]| entries(tar, &none).unwrap();
        let plain = of(&tar_of("w/a", "1", &[]));
        assert_eq!(plain.len(), 1);
        assert!(plain[0].starts_with("/w/a Regular 644 0:0 : 1000000000 "), "{plain:?}");
        assert_ne!(of(&tar_of("w/a", "2", &[])), plain);
        assert_ne!(of(&tar_of("w/a", "1", &[Mark::Capability])), plain);
        let two = joined(tar_of("w/a", "1", &[]), &tar_of("w/b", "1", &[]));
        assert_eq!(entries(&two, &BTreeSet::from(["/w/b".to_owned()])).unwrap(), plain);
    }
}
