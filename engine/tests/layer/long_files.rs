//! The law: a file longer than 4 GiB, or than 8 GiB, is committed with its whole length, comes out of a layer as it was, and the layer's tar
//! comes back byte for byte.
//!
//! Checklist: TR-06~
//!
//! *Never*: so much as 4 GiB is read or written, which takes a debug build most of a minute. A length of which 32 bits are left is seen without:
//! the lengths here leave 1 MiB and 2 MiB then, and where a file ends too early is asked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use layerlab_engine::layer::tar_split::assemble;
use layerlab_engine::layer::{PackOptions, pack_unnamed, unpack_recording};

use crate::scene::{Tar, directory, options, unpacked};

/// More than 32 bits say, and more than a header's eleven octal digits say.
const LENGTHS_BYTES: [u64; 2] = [(4 << 30) + (1 << 20), (8 << 30) + (2 << 20)];
/// More than is left of such a length in 32 bits.
const ENOUGH_BYTES: usize = 3 << 20;

/// Where something is in such a file, and what: one part lies across the 4 GiB.
fn landmarks(size_bytes: u64) -> [(u64, &'static [u8]); 3] {
    [(0, b"it begins"), ((4 << 30) - 3, b"across the border"), (size_bytes - 8, b"it ends.")]
}

fn long_file(directory: &Path, size_bytes: u64) {
    let file = File::create(directory.join("long")).unwrap();
    file.set_len(size_bytes).unwrap();
    landmarks(size_bytes).iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
}

/// Keeps the beginning, and then wants no more.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > ENOUGH_BYTES {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The begin of a tar with what is committed of a file of this length.
fn committed(size_bytes: u64) -> Vec<u8> {
    let upper = directory();
    long_file(upper.path(), size_bytes);
    let options = PackOptions { overlay: options().overlay, user_name: &|_| None, group_name: &|_| None };
    let mut beginning = Beginning(Vec::new());
    let ended = pack_unnamed(upper.path(), &options, &mut beginning);
    assert!(ended.is_err(), "a file of {size_bytes} bytes was committed with {}", beginning.0.len());
    beginning.0
}

#[test]
fn a_long_file_is_committed_with_its_whole_length_for_any_reader() {
    for size_bytes in LENGTHS_BYTES {
        let tar = committed(size_bytes);
        let mut archive = tar::Archive::new(&tar[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!((entry.path().unwrap().to_str(), entry.size()), (Some("long"), size_bytes));
    }
}

#[test]
fn a_long_file_of_which_not_all_comes_is_no_shorter_one() {
    for size_bytes in LENGTHS_BYTES {
        let refused = unpacked(&committed(size_bytes), directory().path());
        assert!(refused.is_err(), "of {size_bytes} bytes: {refused:?}");
    }
}

#[test]
fn a_long_file_with_holes_comes_out_through_a_pipe_and_its_tar_comes_back() {
    for size_bytes in LENGTHS_BYTES {
        let parts = landmarks(size_bytes);
        let map: Vec<String> = parts.iter().map(|(at, bytes)| format!("{at},{}", bytes.len())).collect();
        let (map, size, count) = (map.join(","), size_bytes.to_string(), parts.len().to_string());
        let records = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", count.as_bytes()),
            ("GNU.sparse.name", b"long"),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        let stored = parts.map(|(_, bytes)| bytes).concat();
        let tar = Tar::new().pax(&records).entry(b'0', "GNUSparseFile.7/long", "", 0o644, &stored, |_| {});
        let tar = tar.file("after", "it goes on").end();

        let layer = directory();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut record = Vec::new();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&tar).unwrap();
                drop(writer);
            });
            unpack_recording(reader, layer.path(), &options(), &mut record).unwrap()
        });
        assert_eq!(done.size_bytes, size_bytes + "it goes on".len() as u64);

        let file = File::open(layer.path().join("long")).unwrap();
        let found = file.metadata().unwrap();
        assert_eq!(found.len(), size_bytes);
        assert!(found.blocks() * 512 < 1 << 20, "the holes are gone");
        for (at, bytes) in parts {
            let mut there = vec![0; bytes.len() + 1];
            let length = file.read_at(&mut there, at).unwrap();
            assert_eq!(there[..bytes.len()], *bytes, "at {at} of {size_bytes}");
            assert!(length == bytes.len() || there[bytes.len()] == 0, "behind {at} of {size_bytes}");
        }
        assert_eq!(fs::read_to_string(layer.path().join("after")).unwrap(), "it goes on");
        let mut back = Vec::new();
        assemble(&record[..], layer.path(), &mut back).unwrap();
        assert!(back == tar, "another tar comes back of {size_bytes} bytes");
    }
}
