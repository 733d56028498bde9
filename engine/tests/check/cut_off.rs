//! What a command that was cut off was making or removing is half made, and nothing of it is called damaged.
//!
//! Checklist: CR-04~

use std::fs;

use super::damage::remove;
use super::house::{Ground, House, name};

/// All kinds of findings, once each.
fn kinds(house: &House) -> Vec<String> {
    let findings = house.findings(&[]);
    let mut kinds: Vec<String> = findings.iter().map(|finding| finding["Fault"].as_str().unwrap().to_owned()).collect();
    kinds.dedup();
    kinds
}

#[test]
fn a_container_that_was_being_made_is_half_made_and_goes() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let (record, mount) = house.container();
    let (own, init) = house.container_directories();
    // As a power cut leaves it: the note is synced, and little of what it is about.
    let note = format!("cache {}\ncache {}\n", name(&own), name(&init));
    fs::write(house.data().join("tmp/intent-1"), note).unwrap();
    remove(&record.join("config.v2.json"));
    for (directory, file) in [(&own, "lower"), (&init, "link")] {
        fs::write(directory.join(file), "").unwrap();
    }
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["check", "--repair"]);
    assert_eq!(kinds(&house), [] as [String; 0]);
    assert!([&record, &mount, &own, &init].iter().all(|path| !path.exists()));
    assert_eq!(house.done(&["create", "--name", "cc", "top", "true"]).len(), 64, "its name is free");
}

#[test]
fn a_removal_that_was_cut_off_is_finished_by_whoever_comes_next() {
    for finish in [&["ps", "-aq"][..], &["check", "--repair"]] {
        let house = House::new(&Ground::of("overlay2").unwrap());
        let (record, mount) = house.container();
        let (own, init) = house.container_directories();
        let config = record.join("config.v2.json");
        let text = fs::read_to_string(&config).unwrap();
        let going = text.replace(r#""RemovalInProgress":false"#, r#""RemovalInProgress":true"#);
        assert_ne!(going, text);
        fs::write(&config, going).unwrap();
        remove(&own.join("diff"));
        assert_eq!(kinds(&house), ["half-made"]);
        house.done(finish);
        assert!([&record, &mount, &own, &init].iter().all(|path| !path.exists()), "{finish:?}");
        assert_eq!(kinds(&house), [] as [String; 0]);
    }
}
