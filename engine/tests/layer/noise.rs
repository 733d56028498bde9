//! Layer tars, compressed streams and tar-split records with bytes changed, cut and put in at random: each is taken or refused, quickly,
//! and nothing happens outside of the root.
//!
//! Checklist: SE-08~

use std::io::Read;

use flate2::Compression;
use flate2::read::GzEncoder;
use layerlab_engine::layer::decompressed;
use layerlab_engine::layer::tar_split::assemble;
use layerlab_engine::layer::unpack_recording;
use proptest::prelude::*;

use crate::hostile_tars::attack;
use crate::scene::{Tar, directory, options};

/// One thing done to bytes.
#[derive(Debug, Clone)]
pub enum Noise {
    Change { at: usize, to: u8 },
    Cut { at: usize, length: usize },
    Insert { at: usize, bytes: Vec<u8> },
}

fn noise() -> impl Strategy<Value = Vec<Noise>> {
    let one = prop_oneof![
        6 => (any::<usize>(), prop_oneof![any::<u8>(), Just(b'0'), Just(b'/'), Just(b'.'), Just(0xff)])
            .prop_map(|(at, to)| Noise::Change { at, to }),
        1 => (any::<usize>(), 1usize..700).prop_map(|(at, length)| Noise::Cut { at, length }),
        1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Noise::Insert { at, bytes }),
    ];
    proptest::collection::vec(one, 1..8)
}

fn disturbed(mut bytes: Vec<u8>, noise: &[Noise]) -> Vec<u8> {
    for noise in noise {
        let length = bytes.len().max(1);
        match noise {
            Noise::Change { at, to } => bytes.get_mut(at % length).into_iter().for_each(|byte| *byte = *to),
            Noise::Cut { at, length: cut } => drop(bytes.drain(at % length.min(bytes.len() + 1)..).take(*cut).count()),
            Noise::Insert { at, bytes: more } => drop(bytes.splice(at % length..at % length, more.clone())),
        }
    }
    bytes
}

/// Some of every kind of entry.
fn tar() -> Vec<u8> {
    Tar::new()
        .dir("d/", 0o755)
        .pax(&[("path", b"d/long name"), ("mtime", b"1000000000.5"), ("SCHILY.xattr.user.a", b"\n=\0")])
        .file("short", "text")
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"8192"),
            ("GNU.sparse.name", b"d/holes"),
        ])
        .file("GNUSparseFile.0/holes", &format!("1\n4096\n4\n{:504}data", ""))
        .entry(b'L', "././@LongLink", "", 0o644, b"d/from gnu\0", |_| {})
        .file("d/from", "more")
        .hard_link("d/name", "d/from gnu")
        .symlink("d/link", "../../canary")
        .file("d/.wh.gone", "")
        .file("d/.wh..wh..opq", "")
        .entry(b'6', "pipe", "", 0o600, b"", |_| {})
        .end()
}

/// Makes the checksums of headers right again, so that what is in them is looked at.
fn checked(mut tar: Vec<u8>) -> Vec<u8> {
    for block in tar.chunks_exact_mut(512) {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    tar
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_disturbed_tar_stays_inside_its_root(noise in noise(), is_checked: bool) {
        let tar = disturbed(tar(), &noise);
        let tar = if is_checked { checked(tar) } else { tar };
        // A size may be said that no disk has: the holes of a sparse file take no room, and other sizes need their bytes.
        let _ = attack("a disturbed tar", |_| tar);
    }

    #[test]
    fn a_disturbed_record_gives_an_error_or_a_tar(noise in noise()) {
        let place = directory();
        let mut record = Vec::new();
        let plain = Tar::new().dir("d/", 0o755).file("d/one", "1").file("d/two", "22").end();
        unpack_recording(&plain[..], place.path(), &options(), &mut record).unwrap();
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&record[..]).read_to_end(&mut text).unwrap();
        for disturbed in [disturbed(record, &noise), gzip(&disturbed(text, &noise))] {
            let mut tar = Vec::new();
            let assembled = assemble(&disturbed[..], place.path(), &mut tar);
            // Another tar, too, is an answer: its digest tells.
            prop_assert!(assembled.is_err() || tar.len() < (1 << 20));
        }
    }

    #[test]
    fn a_disturbed_stream_gives_an_error_or_bytes(noise in noise()) {
        let text = b"layer ".repeat(300);
        let xz = [0xfd, b'7', b'z', b'X', b'Z', 0];
        for stream in [gzip(&text), b"BZh91AY&SY".repeat(4), xz.repeat(9), vec![0x28, 0xb5, 0x2f, 0xfd, 0x24, 9, 9, 9]] {
            let stream = disturbed(stream, &noise);
            if let Ok(read) = decompressed(&stream[..]) {
                let _ = std::io::copy(&mut read.take(1 << 20), &mut std::io::sink());
            }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Vec::new();
    GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut gzip).unwrap();
    gzip
}
