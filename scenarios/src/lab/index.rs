//! What `docker search` finds in a lab: the images that are described, and a list of others.

use std::path::Path;

use crate::image::{Description, ImageError};
use crate::registry::Listed;

const OTHERS: &str = "others.txt";

/// Reads the descriptions and the list of others in `directory`.
pub fn read(directory: &Path) -> Result<Vec<Listed>, ImageError> {
    let entries = std::fs::read_dir(directory).map_err(|error| ImageError::io("list", directory, error))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut index = Vec::new();
    for path in paths {
        let Description { name, listing, .. } = Description::read(&path)?;
        let (description, stars, official) = (listing.description, listing.stars, listing.official);
        index.push(Listed { name, description, stars, official, automated: false });
    }
    let path = directory.join(OTHERS);
    let text = std::fs::read_to_string(&path).map_err(|error| ImageError::io("read", &path, error))?;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let what = || format!("{line:?} is no NAME STARS official|automated|- DESCRIPTION");
        index.push(other(line).ok_or_else(|| ImageError::Invalid { path: path.clone(), what: what() })?);
    }
    Ok(index)
}

/// `ansible/centos7-ansible 135 automated Ansible on Centos7`
fn other(line: &str) -> Option<Listed> {
    let mut words = line.splitn(4, ' ');
    let (name, stars, kind) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let (official, automated) = match kind {
        "official" => (true, false),
        "automated" => (false, true),
        "-" => (false, false),
        _ => return None,
    };
    Some(Listed { name: name.to_owned(), description: words.next()?.to_owned(), stars, official, automated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_every_description_is_in_the_index() {
        let index = read(&crate::lab::prepare::workspace_root().join("scenarios/images")).unwrap();
        let centos = index.iter().find(|listed| listed.name == "centos").unwrap();
        assert!(centos.official && centos.stars > 0 && !centos.description.is_empty());
        assert!(index.iter().any(|listed| listed.automated));
    }

    #[test]
    fn a_line_needs_all_its_words() {
        assert!(other("x 1 automated about").is_some());
        assert!(other("x many - about").is_none() && other("x 1 maybe about").is_none() && other("x 1 -").is_none());
    }
}
