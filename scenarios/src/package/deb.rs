//! A Debian package as bytes: an ar archive of `debian-binary`, the control tar and the data tar (deb(5)).

use std::io::{self, Write as _};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

/// The archive around a gzipped data tar.
pub fn deb(control: &str, data: &[u8], mtime: u64) -> io::Result<Vec<u8>> {
    let control = control_tar(control, mtime)?;
    let mut archive = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), ("data.tar.gz", data)] {
        let mut header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(mtime);
        archive.append(&header, bytes)?;
    }
    archive.into_inner()
}

fn control_tar(control: &str, mtime: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(gzip(Vec::new()));
    let mut header = tar::Header::new_ustar();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    archive.append_data(&mut header, "./control", control.as_bytes())?;
    archive.into_inner()?.finish()
}

fn gzip<W: io::Write>(out: W) -> GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(255).write(out, Compression::fast())
}

/// An index, gzipped.
pub fn gzipped(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = gzip(Vec::new());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}
