//! What goes over the wire when a file is copied: a head, the server's consent, the bytes and their digest, the server's word.
//!
//! ```text
//! client  layerlab-scp 1\0NAME\0PATH\0MODE\0SIZE\0MTIME\0    MODE in octal, SIZE in bytes, MTIME as SECONDS.NANOSECONDS or empty
//! server  ok\n  or  error WHY\n                              after an error the next head may follow
//! client  SIZE bytes, then their SHA-256 (32 bytes)
//! server  ok\n  or  error WHY\n
//! ```

use std::io::{self, BufRead, Write};

const MAGIC: &str = "layerlab-scp 1";
pub const GOOD: &str = "ok";
pub const BAD: &str = "error";
/// A path has at most 4096 bytes.
const MOST_BYTES: u64 = 5000;

/// One file that is announced.
#[derive(Debug, PartialEq)]
pub struct Head {
    /// What it is called where it comes from.
    pub name: String,
    /// Where it is to go: a file, or a directory.
    pub path: String,
    pub mode: u32,
    pub size: u64,
    /// Seconds and nanoseconds, when the copy shall have the times and the exact mode of the file.
    pub kept_mtime: Option<(i64, i64)>,
}

impl Head {
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mtime = self.kept_mtime.map(|(seconds, nanos)| format!("{seconds}.{nanos}")).unwrap_or_default();
        let Head { name, path, mode, size, .. } = self;
        to.write_all(format!("{MAGIC}\0{name}\0{path}\0{mode:o}\0{size}\0{mtime}\0").as_bytes())
    }

    /// The next head; `None` at the end of the connection.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Head>> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "this is no head of layerlab's scp");
        let mut field = || -> io::Result<String> {
            let mut bytes = Vec::new();
            io::Read::take(&mut *from, MOST_BYTES).read_until(0, &mut bytes)?;
            // Without a zero byte at its end it was cut off, or nothing came any more.
            match bytes.pop() {
                None | Some(0) => String::from_utf8(bytes).map_err(|_| bad()),
                Some(_) => Err(bad()),
            }
        };
        let magic = field()?;
        if magic.is_empty() {
            return Ok(None);
        }
        if magic != MAGIC {
            return Err(bad());
        }
        let (name, path, mode, size, mtime) = (field()?, field()?, field()?, field()?, field()?);
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(bad());
        }
        let kept_mtime = match mtime.split_once('.') {
            None if mtime.is_empty() => None,
            None => return Err(bad()),
            Some((seconds, nanos)) => Some((seconds.parse().map_err(|_| bad())?, nanos.parse().map_err(|_| bad())?)),
        };
        let mode = u32::from_str_radix(&mode, 8).map_err(|_| bad())?;
        Ok(Some(Head { name, path, mode, size: size.parse().map_err(|_| bad())?, kept_mtime }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for kept_mtime in [None, Some((-1, 999_999_999))] {
            let head = Head { name: "a b".into(), path: String::new(), mode: 0o640, size: 7, kept_mtime };
            let mut bytes = Vec::new();
            head.write(&mut bytes).unwrap();
            assert_eq!(Head::read(&mut bytes.as_slice()).unwrap(), Some(head));
        }
        assert_eq!(Head::read(&mut [].as_slice()).unwrap(), None);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["", "..", "a/b"] {
            let head = Head { name: name.into(), path: "/tmp".into(), mode: 0, size: 0, kept_mtime: None };
            let mut bytes = Vec::new();
            head.write(&mut bytes).unwrap();
            assert!(Head::read(&mut bytes.as_slice()).is_err(), "{name}");
        }
    }
}
