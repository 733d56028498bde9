//! An image that somebody wrote by hand, as far as dockerd 20.10 needs it to run it, is sound; what dockerd needs and it has not is found.
//!
//! Checklist: CR-05~

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use layerlab_engine::image::Digest;
use layerlab_engine::layer::{Files, OverlayXattr, copy_tree};

use super::damage::{make, remove, write};
use super::house::{Ground, House};

/// What was written, of which something can be left out.
struct Written {
    record: PathBuf,
    directory: PathBuf,
    short_name: PathBuf,
}

/// An image of one layer whose tar is that of the middle layer of `top`, called `handmade`: nothing is there that dockerd does not read.
/// `config` is all but the layers.
fn written(house: &House, cache_id: &str, config: &str) -> Written {
    let (like, files) = (&house.records()[1], house.files(&house.directories()[1]));
    let diff_id = fs::read_to_string(like.join("diff")).unwrap();
    let record = house.image().join("layerdb/sha256").join(diff_id.strip_prefix("sha256:").unwrap());
    make(&record);
    for name in ["diff", "size", "tar-split.json.gz"] {
        fs::copy(like.join(name), record.join(name)).unwrap();
    }
    write(&record.join("cache-id"), cache_id);
    let directory = house.home().join(cache_id);
    fs::create_dir_all(directory.join("diff")).unwrap();
    copy_tree(&files, &directory.join("diff"), Files::Copied, OverlayXattr::None).unwrap();
    write(&directory.join("link"), &"H".repeat(26));
    let short_name = house.home().join("l").join("H".repeat(26));
    symlink(format!("../{cache_id}/diff"), &short_name).unwrap();
    let config = format!("{{{config}\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{diff_id}\"]}}}}");
    let id = Digest::of(config.as_bytes());
    write(&house.image().join("imagedb/content/sha256").join(id.hex()), &config);
    let list = house.image().join("repositories.json");
    let names = fs::read_to_string(&list).unwrap();
    let named = format!("{{\"Repositories\":{{\"handmade\":{{\"handmade:latest\":\"{id}\"}},");
    write(&list, &names.replacen("{\"Repositories\":{", &named, 1));
    Written { record, directory, short_name }
}

struct Case<'a> {
    name: &'static str,
    cache_id: &'a str,
    config: &'static str,
    leave_out: fn(&Written),
    finds: &'static [&'static str],
}

const WHOLE: &str = r#""architecture":"amd64","os":"linux","config":{"Cmd":["true"]},"#;

#[test]
fn an_image_that_was_written_by_hand_is_sound_and_what_it_lacks_is_found() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let long = "c".repeat(64);
    let whole = Case { name: "whole", cache_id: &long, config: WHOLE, leave_out: |_| {}, finds: &[] };
    let cases = [
        Case { name: "without architecture and os", config: r#""config":{"Cmd":["true"]},"#, ..whole },
        Case { name: "without a config", config: r#""architecture":"amd64","os":"linux","#, ..whole },
        Case { name: "its directory has a plain name", cache_id: "plain", ..whole },
        Case {
            name: "without tar-split.json.gz",
            leave_out: |written| remove(&written.record.join("tar-split.json.gz")),
            finds: &["tar-split"],
            ..whole
        },
        Case {
            name: "without size",
            leave_out: |written| remove(&written.record.join("size")),
            finds: &["layer-record"],
            ..whole
        },
        Case {
            name: "without link",
            leave_out: |written| {
                remove(&written.directory.join("link"));
                remove(&written.short_name);
            },
            finds: &["link"],
            ..whole
        },
        whole,
    ];
    for Case { name, cache_id, config, leave_out, finds } in cases {
        let list = house.image().join("repositories.json");
        let names = fs::read(&list).unwrap();
        let hand = written(&house, cache_id, config);
        leave_out(&hand);
        let findings = house.findings(&[]);
        let found: Vec<&str> = findings.iter().map(|finding| finding["Fault"].as_str().unwrap()).collect();
        assert_eq!(found, finds, "{name}: {findings:#?}");
        if finds != ["tar-split"] {
            house.done(&["check", "--repair"]);
            house.done(&["save", "-o", &house.data().join("tmp/saved.tar").display().to_string(), "handmade"]);
            remove(&house.data().join("tmp/saved.tar"));
        }
        house.done(&["rmi", "handmade"]);
        fs::write(&list, names).unwrap();
        assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new(), "{name}");
    }
}
