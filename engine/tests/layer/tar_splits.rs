//! The law: a tar that was unpacked with a record comes back byte for byte, whatever made it; and what dockerd recorded
//! can be read.
//!
//! Checklist: ID-03~, TR-06~

use std::fs;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use layerlab_engine::layer::tar_split::{TarSplitError, assemble, tar_size_bytes};
use layerlab_engine::layer::unpack_recording;
use proptest::prelude::*;

use crate::scene::{Tar, directory, options};

/// Unpacks `tar` and gives its record.
fn recorded(tar: &[u8], place: &std::path::Path) -> Vec<u8> {
    let mut record = Vec::new();
    unpack_recording(tar, place, &options(), &mut record).unwrap();
    record
}

fn assembled(record: &[u8], place: &std::path::Path) -> Result<Vec<u8>, TarSplitError> {
    let mut tar = Vec::new();
    assemble(record, place, &mut tar).map(|()| tar)
}

fn comes_back(tar: &[u8]) {
    let place = directory();
    let record = recorded(tar, place.path());
    assert_eq!(assembled(&record, place.path()).unwrap(), tar);
    assert_eq!(tar_size_bytes(&record[..]).unwrap(), tar.len() as u64);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn lines(record: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(record).read_to_string(&mut text).unwrap();
    text
}

/// Checklist: TR-01~
#[test]
fn every_kind_of_entry_comes_back() {
    let own = |name: &str| Tar::new().entry(b'0', name, "", 0o640, b"odd", |header| header.set_mtime(7));
    comes_back(&own("f").end());
    let tar = Tar::new().dir("etc/", 0o755).file("etc/passwd", "root:x:0:0\n").symlink("etc/link", "passwd");
    let tar = tar.hard_link("etc/hard", "etc/passwd").file("./empty", "").file("/absolute", "a");
    comes_back(&tar.end());
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(130));
    comes_back(&Tar::new().pax(&[("path", long.as_bytes()), ("comment", b"\xff\n=")]).file("short", "contents").end());
    let gnu = Tar::new().entry(b'L', "././@LongLink", "", 0, format!("{long}\0").as_bytes(), |_| {});
    comes_back(&gnu.file("short", "contents").end());
    let global = |tar: Tar| tar.entry(b'g', "pax_global_header", "", 0o644, b"17 comment=abcde\n", |_| {});
    comes_back(&global(global(Tar::new()).file("a", "a")).file("b", "b").end());
}

/// Checklist: TR-04
#[test]
fn padding_that_is_not_zero_and_trailing_bytes_come_back() {
    let mut tar = Tar::new().file("f", "contents").file("g", "more").end();
    tar[512 + 8..1024].fill(b'!');
    comes_back(&tar);
    let without_end = tar.len() - 1024;
    comes_back(&tar[..without_end]);
    tar.extend_from_slice(&vec![b'?'; (3 << 20) + 17]);
    comes_back(&tar);
}

#[test]
fn contents_of_whiteouts_come_back_although_no_file_has_them() {
    if !crate::scene::root_is_here("whiteouts") {
        return;
    }
    let tar = Tar::new().dir("d", 0o755).file("d/.wh..wh..opq", "opaque?").file("d/.wh.gone", "not empty");
    comes_back(&tar.file("d/.wh..wh.plnk", "links").end());
}

#[test]
fn a_name_that_is_not_utf8_is_kept_raw() {
    let tar = Tar::new().pax(&[("path", b"\xff\xfe")]).file("short", "contents").end();
    comes_back(&tar);
    let place = directory();
    let text = lines(&recorded(&tar, place.path()));
    assert!(text.contains(r#"{"type":1,"name_raw":"//4=","size":8,"payload":""#), "{text}");
}

#[test]
fn a_file_that_was_changed_is_told_in_dockers_words() {
    let tar = Tar::new().file("etc/passwd", "root:x:0:0\n").end();
    for changed in ["root:x:0:1\n", "root:x:0:0\n\n", "root", ""] {
        let place = directory();
        let record = recorded(&tar, place.path());
        fs::write(place.path().join("etc/passwd"), changed).unwrap();
        let error = assembled(&record, place.path()).unwrap_err();
        assert_eq!(error.to_string(), "file integrity checksum failed for \"etc/passwd\"");
    }
    let place = directory();
    let record = recorded(&tar, place.path());
    fs::remove_file(place.path().join("etc/passwd")).unwrap();
    assert!(matches!(assembled(&record, place.path()), Err(TarSplitError::Open { .. })));
}

#[test]
fn a_hostile_record_reads_nothing_outside_of_the_layer() {
    let outside = directory();
    fs::write(outside.path().join("secret"), "secret!!").unwrap();
    let layer = outside.path().join("layer");
    fs::create_dir(&layer).unwrap();
    std::os::unix::fs::symlink("/", layer.join("top")).unwrap();
    std::os::unix::fs::symlink("../secret", layer.join("link")).unwrap();
    let secret = outside.path().join("secret");
    for name in ["../secret", "link", &format!("top{}", secret.display()), secret.to_str().unwrap()] {
        let record = gzip(&format!(r#"{{"type":1,"name":"{name}","size":8,"payload":"AAAAAAAAAAA=","position":0}}"#));
        let error = assembled(&record, &layer).unwrap_err();
        assert!(matches!(error, TarSplitError::Open { .. }), "{name}: {error}");
    }
}

#[test]
fn a_damaged_record_is_an_error() {
    let place = directory();
    let rows = [
        (r#"{"type":1,"name":"a","payload":null,"position":0}"#.repeat(2).replace("}{", "}\n{"), "twice"),
        (r#"{"type":1,"name":"a","size":3,"payload":null,"position":0}"#.to_owned(), "without a checksum"),
        ("{\"type\":2,\"payload\":\"*\"}".to_owned(), "damaged at entry 0"),
        ("nonsense".to_owned(), "damaged at entry 0"),
    ];
    for (text, reason) in rows {
        let error = assembled(&gzip(&text), place.path()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let whole = gzip(&"{\"type\":2,\"payload\":\"AAAA\"}\n".repeat(100));
    assert!(matches!(assembled(&whole[..whole.len() - 12], place.path()), Err(TarSplitError::Read(_))));
    assert!(matches!(assembled(b"no gzip", place.path()), Err(TarSplitError::Read(_))));
}

/// dockerd 20.10.24 wrote this of a layer with one file that GNU tar made, with its 10240 bytes.
#[test]
fn what_dockerd_wrote_is_read() {
    let place = directory();
    fs::write(place.path().join("hi"), "hi\n").unwrap();
    let record = gzip(include_str!("fixtures/import.tar-split.json"));
    let tar = assembled(&record, place.path()).unwrap();
    let digest = layerlab_engine::image::Digest::of(&tar);
    assert_eq!(digest.hex(), "9ec1e4b1bf6affd114af3f23e5020b56b59f36b052d1995891773672a383dd2f");
    // And what we write of that tar is the same, but for an empty segment at its end.
    let again = directory();
    if !crate::scene::root_is_here("writing that again, with its owners,") {
        return;
    }
    let ours = lines(&recorded(&tar, again.path()));
    let theirs = include_str!("fixtures/import.tar-split.json");
    let files = |text: &str| text.lines().filter(|line| line.contains(r#""type":1"#)).collect::<String>();
    assert_eq!(files(&ours), files(theirs));
}

fn entries() -> impl Strategy<Value = Vec<(String, Vec<u8>, u8)>> {
    let name = proptest::collection::vec("[a-c<&é]{1,40}", 1..5).prop_map(|parts| parts.join("/"));
    let contents = proptest::collection::vec(any::<u8>(), 0..1500);
    proptest::collection::vec((name, contents, 0u8..4), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Tars as the `tar` crate writes them, in GNU's form and in ustar's, with any bytes in the padding and after the end.
    #[test]
    fn a_tar_of_the_tar_crate_comes_back(entries in entries(), gnu: bool, junk: u8, tail in 0usize..3000) {
        let mut names = std::collections::HashSet::new();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, contents, kind) in &entries {
            // A path that is a file and a directory at once loses contents on any disk.
            let prefix = |other: &String| other.starts_with(&format!("{name}/")) || name.starts_with(&format!("{other}/"));
            if names.iter().any(prefix) || !names.insert(name.clone()) {
                continue;
            }
            let mut header = if gnu { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
            header.set_mode(0o644);
            header.set_uid(u64::from(rustix::process::geteuid().as_raw()));
            header.set_gid(u64::from(rustix::process::getegid().as_raw()));
            header.set_mtime(u64::from(junk));
            let appended = match kind {
                0 => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, name, "target")
                }
                _ => {
                    header.set_size(contents.len() as u64);
                    builder.append_data(&mut header, name, &contents[..])
                }
            };
            prop_assume!(appended.is_ok());
        }
        let mut tar = builder.into_inner().unwrap();
        tar.resize(tar.len() + tail, junk);
        let place = directory();
        let record = recorded(&tar, place.path());
        prop_assert_eq!(assembled(&record, place.path()).unwrap(), tar);
    }
}
