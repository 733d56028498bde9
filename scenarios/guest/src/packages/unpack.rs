//! Unpacks archives of packages: `.deb` (an ar archive of two tars) and plain `.tar.gz`.

use flate2::read::GzDecoder;
use std::io::{self, Read};
use std::path::Path;

/// The control stanza's text and the data tar, gzipped, of a `.deb` (deb(5)).
pub fn parts_of_deb(deb: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (mut control, mut data, mut is_deb) = (None, None, false);
    let mut archive = ar::Archive::new(deb);
    while let Some(member) = archive.next_entry() {
        let mut member = member?;
        let name = String::from_utf8_lossy(member.header().identifier()).trim_end_matches('/').to_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        match name.as_str() {
            "debian-binary" => is_deb = bytes.starts_with(b"2."),
            "control.tar.gz" => control = Some(bytes),
            "data.tar.gz" => data = Some(bytes),
            _ => return Err(bad("a member of the .deb is compressed in a way that is not known here")),
        }
    }
    let (Some(control), Some(data), true) = (control, data, is_deb) else {
        return Err(bad("it is no Debian package (version 2)"));
    };
    let mut text = None;
    for entry in tar::Archive::new(GzDecoder::new(control.as_slice())).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("control") {
            let mut found = String::new();
            entry.read_to_string(&mut found)?;
            text = Some(found);
        }
    }
    Ok((text.ok_or_else(|| bad("the package has no control file"))?, data))
}

/// Unpacks a gzipped tar into `/`; gives every path in it, absolute. A directory that is there keeps its owner and mode.
pub fn data(data: &[u8]) -> io::Result<Vec<String>> {
    let mut paths = vec!["/.".to_owned()];
    let mut archive = tar::Archive::new(GzDecoder::new(data));
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = Path::new("/").join(entry.path()?.strip_prefix("./").unwrap_or(&entry.path()?));
        let is_there = entry.header().entry_type().is_dir() && path.is_dir();
        if !is_there && !entry.unpack_in("/")? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} leads out of /", path.display())));
        }
        paths.push(path.to_string_lossy().trim_end_matches('/').to_owned());
    }
    Ok(paths)
}
