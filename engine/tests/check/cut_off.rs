//! What a command that was cut off was making or removing is half made, and nothing of it is called damaged.
//!
//! Checklist: CR-04~

use std::fs;
use std::time::SystemTime;

use super::damage::remove;
use super::house::{Ground, House, name, text};

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
    house.noted(&format!("making {}\ncache {}\ncache {}\n", name(&record), name(&own), name(&init)));
    remove(&record.join("config.v2.json"));
    for (directory, file) in [(&own, "lower"), (&init, "link"), (&mount, "mount-id"), (&mount, "init-id")] {
        fs::write(directory.join(file), "").unwrap();
    }
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["check", "--repair"]);
    assert_eq!(kinds(&house), [] as [String; 0]);
    assert!([&record, &mount, &own, &init].iter().all(|path| !path.exists()));
    assert_eq!(house.done(&["create", "--name", "cc", "top", "true"]).len(), 64, "its name is free");
}

#[test]
fn a_container_that_was_being_made_is_cleared_away_by_the_next_command_that_makes_or_removes() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let (record, mount) = house.container();
    let (own, init) = house.container_directories();
    let lines = format!("making {}\ncache {}\ncache {}\n", name(&record), name(&own), name(&init));
    remove(&record.join("config.v2.json"));
    fs::write(mount.join("mount-id"), "").unwrap();
    let note = house.noted(&lines);
    // Who waits to remove a layer asks who needs it, of every container; of these notes some are found before the other's, some after it.
    let top = fs::read_to_string(mount.join("parent")).unwrap();
    for other in 0..8 {
        fs::write(note.with_file_name(format!("other-{other}")), format!("chain {}\n", &top["sha256:".len()..]))
            .unwrap();
    }
    house.done(&["--storage-driver", "vfs", "volume", "create", "vv"]);
    assert!([&record, &mount, &own, &init, &note].iter().all(|path| path.exists()), "it is none of another driver's");
    house.done(&["volume", "create", "ww"]);
    assert!([&record, &mount, &own, &init, &note].iter().all(|path| !path.exists()));
    assert!(!note.parent().unwrap().exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_note_that_was_not_written_to_its_end_is_about_nothing() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let own = house.container_directories().0;
    let note = house.noted("cache ");
    let unfinished = note.with_file_name(".tmp-aaaaaa");
    fs::rename(&note, &unfinished).unwrap();
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["volume", "create", "vv"]);
    assert!(own.is_dir() && !unfinished.exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_container_whose_record_alone_is_lost_keeps_what_it_had_written() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let (record, mount) = house.container();
    let own = house.container_directories().0;
    remove(&record.join("config.v2.json"));
    house.done(&["create", "--name", "other", "top", "true"]);
    house.done(&["rm", "other"]);
    assert_eq!(house.run(&["check", "--repair"], b"").status.code(), Some(1));
    assert_eq!(kinds(&house), ["container-record"]);
    assert!(fs::read_dir(own.join("diff")).unwrap().next().is_some());
    // As the advice says.
    fs::remove_dir_all(&record).unwrap();
    fs::remove_dir_all(&mount).unwrap();
    house.done(&["check", "--repair"]);
    assert!(!own.exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_mount_without_a_container_in_which_nothing_was_written_is_half_made() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let id = house.done(&["create", "--name", "other", "top", "true"]);
    fs::remove_dir_all(house.data().join("containers").join(&id)).unwrap();
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["check", "--repair"]);
    assert!(!house.image().join("layerdb/mounts").join(&id).exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_removal_that_was_cut_off_is_finished_by_the_next_command_that_makes_or_removes() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let (record, mount) = house.container();
    let (own, init) = house.container_directories();
    house.noted(&format!("container {} volumes\n", name(&record)));
    remove(&own.join("diff"));
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["ps", "-aq"]);
    assert!(record.exists(), "who only looks removes nothing");
    house.done(&["volume", "create", "vv"]);
    assert!([&record, &mount, &own, &init].iter().all(|path| !path.exists()));
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_repair_finishes_a_removal_that_was_cut_off_and_takes_a_new_volume_back() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let record = house.container().0;
    house.done(&["volume", "create", "vv"]);
    house.noted(&format!("container {} volumes\nvolume vv\n", name(&record)));
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["check", "--repair"]);
    assert!(!record.exists() && !house.data().join("volumes/vv").exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn what_a_dockerd_has_seen_since_stays() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let record = house.container().0;
    house.done(&["volume", "create", "vv"]);
    let note = house.noted(&format!("container {} volumes\nvolume vv\n", name(&record)));
    fs::File::open(&note).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    // As a dockerd leaves it.
    fs::write(house.data().join("volumes/metadata.db"), "").unwrap();
    house.done(&["volume", "create", "ww"]);
    assert!(record.exists() && house.data().join("volumes/vv").is_dir() && !note.exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn a_container_that_was_started_since_its_removal_was_cut_off_stays() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let record = house.container().0;
    let note = house.noted(&format!("container {}\n", name(&record)));
    fs::File::open(&note).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let config = record.join("config.v2.json");
    let text = fs::read_to_string(&config).unwrap();
    let started = text.replace(r#""StartedAt":"0001-01-01T00:00:00Z""#, r#""StartedAt":"2020-01-01T00:00:00Z""#);
    assert_ne!(started, text);
    fs::write(&config, started).unwrap();
    house.done(&["volume", "create", "vv"]);
    assert!(record.exists() && !note.exists());
    assert_eq!(kinds(&house), [] as [String; 0]);
}

#[test]
fn where_the_records_of_all_containers_are_away_no_layer_of_one_goes() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let own = house.container_directories().0;
    for path in [house.data().join("containers"), house.image().join("layerdb/mounts")] {
        fs::rename(&path, path.with_extension("away")).unwrap();
    }
    let output = house.run(&["check", "--repair"], b"");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(own.join("diff").is_dir(), "{}", text(&output));
}

#[test]
fn what_a_killed_build_of_dockerd_copied_files_into_is_half_made_and_goes() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let (record, mount) = house.container();
    let (own, init) = house.container_directories();
    // Such a layer was never a container's, so that it has none of its files.
    fs::remove_dir_all(&record).unwrap();
    remove(&mount.join("init-id"));
    assert_ne!(kinds(&house), ["half-made"], "a container that has lost both has its mount points");
    let link = fs::read_to_string(init.join("link")).unwrap();
    remove(&init);
    remove(&house.data().join("overlay2/l").join(link));
    assert!(fs::read_dir(own.join("diff")).unwrap().next().is_some());
    assert_eq!(kinds(&house), ["half-made"]);
    house.done(&["check", "--repair"]);
    assert_eq!(kinds(&house), [] as [String; 0]);
    assert!(!mount.exists() && !own.exists());
}
