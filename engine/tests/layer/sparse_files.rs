//! The law: a sparse file comes out of a tar as it went in, whichever of the four forms says where its holes are; and the tar
//! comes back byte for byte.
//!
//! Checklist: TR-06~

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use layerlab_engine::layer::tar_split::assemble;
use layerlab_engine::layer::{UnpackError, unpack_recording};
use layerlab_scenarios::skip::skip;

use crate::scene::{Tar, directory, options, unpacked};

const SIZE_BYTES: usize = 1 << 20;
/// Where the file is no hole, and with what.
const PARTS: [(usize, u8, usize); 3] = [(0, b'a', 512), (65_536, b'b', 700), (SIZE_BYTES - 300, b'c', 300)];

fn contents() -> Vec<u8> {
    let mut contents = vec![0; SIZE_BYTES];
    PARTS.iter().for_each(|(at, letter, length)| contents[*at..at + length].fill(*letter));
    contents
}

fn stored() -> Vec<u8> {
    PARTS.iter().flat_map(|(_, letter, length)| vec![*letter; *length]).collect()
}

fn map(separator: &str) -> String {
    let parts = PARTS.iter().map(|(at, _, length)| format!("{at}{separator}{length}"));
    parts.collect::<Vec<_>>().join(separator)
}

/// The tar gives the file, holes included, between two others, and comes back.
fn comes_out(tar: &[u8]) {
    let place = directory();
    let mut record = Vec::new();
    let done = unpack_recording(tar, place.path(), &options(), &mut record).unwrap();
    assert!(done.told_bytes >= SIZE_BYTES as u64, "{done:?}");
    let file = place.path().join("sparse");
    assert_eq!(fs::read(&file).unwrap(), contents());
    // Two blocks of 64 KiB in the worst case, where a file system allocates so much at once.
    assert!(file.metadata().unwrap().blocks() * 512 < SIZE_BYTES as u64 / 2, "the holes are gone");
    assert_eq!(fs::read_to_string(place.path().join("after")).unwrap(), "it goes on");
    let mut back = Vec::new();
    assemble(&record[..], place.path(), &mut back).unwrap();
    assert_eq!(back, tar);
}

fn pax(records: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let records: Vec<(&str, &[u8])> = records.iter().map(|(keyword, value)| (*keyword, value.as_bytes())).collect();
    let tar = Tar::new().pax(&records).entry(b'0', "GNUSparseFile.7/x", "", 0o644, body, |_| {});
    tar.file("after", "it goes on").end()
}

#[test]
fn form_0_0_has_a_record_for_each_part() {
    let size = SIZE_BYTES.to_string();
    let count = PARTS.len().to_string();
    let parts: Vec<[String; 2]> = PARTS.iter().map(|(at, _, length)| [at.to_string(), length.to_string()]).collect();
    let mut records = vec![("path", "sparse"), ("GNU.sparse.size", &*size), ("GNU.sparse.numblocks", &*count)];
    for [at, length] in &parts {
        records.extend([("GNU.sparse.offset", at.as_str()), ("GNU.sparse.numbytes", length.as_str())]);
    }
    comes_out(&pax(&records, &stored()));
}

#[test]
fn form_0_1_has_one_record_for_all_parts() {
    let (size, count, map) = (SIZE_BYTES.to_string(), PARTS.len().to_string(), map(","));
    let records = [
        ("GNU.sparse.size", &*size),
        ("GNU.sparse.numblocks", &*count),
        ("GNU.sparse.name", "sparse"),
        ("GNU.sparse.map", &*map),
    ];
    comes_out(&pax(&records, &stored()));
}

/// The body of form 1.0, whose map says how many parts there are.
fn with_lines(count: usize) -> Vec<u8> {
    let mut body = format!("{count}\n{}\n", map("\n")).into_bytes();
    body.resize(body.len().next_multiple_of(512), 0);
    [body, stored()].concat()
}

const FORM_1_0: [(&str, &str); 4] = [
    ("GNU.sparse.major", "1"),
    ("GNU.sparse.minor", "0"),
    ("GNU.sparse.name", "sparse"),
    ("GNU.sparse.realsize", "1048576"),
];

#[test]
fn form_1_0_has_its_map_before_the_contents() {
    comes_out(&pax(&FORM_1_0, &with_lines(PARTS.len())));
}

/// A header of the old form with this map, all in it or in a block behind it.
fn old(further: bool) -> Vec<u8> {
    let number = |number: usize| format!("{number:011o}\0").into_bytes();
    let map: Vec<u8> = PARTS.iter().flat_map(|(at, _, length)| [number(*at), number(*length)].concat()).collect();
    let tar = Tar::new().entry(b'S', "sparse", "", 0o644, &stored(), |header| {
        let block = header.as_mut_bytes();
        block[257..265].copy_from_slice(b"ustar  \0");
        block[345..].fill(0);
        block[482] = u8::from(further);
        if !further {
            block[386..386 + map.len()].copy_from_slice(&map);
        }
        block[483..495].copy_from_slice(&number(SIZE_BYTES));
    });
    let mut tar = tar.open_end();
    if further {
        let mut block = map;
        block.resize(512, 0);
        tar.splice(512..512, block);
    }
    [tar, Tar::new().file("after", "it goes on").end()].concat()
}

#[test]
fn the_old_form_has_its_map_in_the_header_and_behind_it() {
    comes_out(&old(false));
    comes_out(&old(true));
}

#[test]
fn what_gnu_tar_makes_of_a_file_with_holes_comes_out_whichever_form_it_takes() {
    let place = directory();
    fs::write(place.path().join("after"), "it goes on").unwrap();
    let file = fs::File::create(place.path().join("sparse")).unwrap();
    file.set_len(SIZE_BYTES as u64).unwrap();
    for (at, letter, length) in PARTS {
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![letter; length], at as u64).unwrap();
    }
    let tar = |arguments: &[&str]| {
        let place: &Path = place.path();
        Command::new("tar").current_dir(place).args(arguments).args(["-cSf", "-", "sparse", "after"]).output()
    };
    if !Command::new("tar").arg("--version").output().is_ok_and(|said| said.stdout.starts_with(b"tar (GNU tar)")) {
        return skip("gnu-tar", "GNU tar is not here");
    }
    for arguments in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        comes_out(&tar(arguments).unwrap().stdout);
    }
}

#[test]
fn a_map_that_cannot_be_is_refused() {
    let lie = |keyword: &'static str, value: &'static str| {
        FORM_1_0.map(|(known, said)| (known, if known == keyword { value } else { said }))
    };
    for (records, body) in [
        (lie("GNU.sparse.realsize", "100"), with_lines(PARTS.len())),
        (lie("GNU.sparse.realsize", "-1"), with_lines(PARTS.len())),
        (lie("GNU.sparse.minor", "7"), with_lines(PARTS.len())),
        (FORM_1_0, with_lines(PARTS.len() - 1)),
        (FORM_1_0, with_lines(400)),
        (FORM_1_0, with_lines(usize::MAX)),
        (FORM_1_0, b"3\n0\n".to_vec()),
        (FORM_1_0, vec![b'1'; 2 << 20]),
    ] {
        let found = unpacked(&pax(&records, &body), directory().path());
        assert!(matches!(found, Err(UnpackError::Archive(_))), "{found:?}");
    }
    let mut overlapping = old(false);
    overlapping.copy_within(386..410, 410);
    let header = tar::Header::from_byte_slice(&overlapping[..512]).clone();
    let mut header = header;
    header.set_cksum();
    overlapping[..512].copy_from_slice(header.as_bytes());
    assert!(matches!(unpacked(&overlapping, directory().path()), Err(UnpackError::Archive(_))));
}
