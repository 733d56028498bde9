//! What a repair leaves where it is, since nobody but people can know what it was, and what it does when it is told to by others.
//!
//! Checklist: CR-04~

use std::fs;

use super::damage::{remove, write};
use super::healthy::listing;
use super::house::{Ground, House, text};

/// The kinds of findings, and whether something of them can be mended.
fn found(house: &House) -> (Vec<String>, bool) {
    let findings = house.findings(&[]);
    let mut kinds: Vec<String> = findings.iter().map(|finding| finding["Fault"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds.dedup();
    (kinds, findings.iter().any(|finding| finding["Mendable"] == true))
}

/// Its name is the last word of its layers.
#[test]
fn a_loaded_image_that_lost_its_configuration_keeps_layers_and_name_until_it_is_loaded_again() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    house.done(&["rm", "cc"]);
    let archive = house.run(&["save", "top"], b"").stdout;
    house.done(&["rmi", "top"]);
    house.fed(&["load", "-q"], &archive);
    let (config, before) = (house.config(), listing(&house.home()));
    remove(&config);
    assert_eq!(found(&house), (vec!["dangling-name".to_owned(), "unused-layer".to_owned()], false));
    for _ in 0..2 {
        let output = house.run(&["check", "--repair"], b"");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert_eq!((listing(&house.home()) == before, house.records().len()), (true, 3), "{}", text(&output));
    }
    house.fed(&["load", "-q"], &archive);
    assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new());
    assert_eq!(house.run(&["save", "top"], b"").stdout, archive);
}

#[test]
fn where_the_books_are_away_and_no_container_is_left_every_directory_stays() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    house.done(&["rm", "cc"]);
    let (before, aside) = (listing(&house.home()), house.data().join("aside"));
    fs::rename(house.data().join("image"), &aside).unwrap();
    let kinds = ["distribution", "image-config", "image-facts", "layer-record", "names", "orphan-directory"];
    assert_eq!(found(&house), (kinds.map(str::to_owned).to_vec(), true));
    for _ in 0..2 {
        house.run(&["check", "--repair"], b"");
        assert_eq!(found(&house), (vec!["image-config".to_owned(), "orphan-directory".to_owned()], false));
        assert!(listing(&house.home()) == before);
    }
    // What was only away comes back.
    remove(&house.data().join("image"));
    fs::rename(aside, house.data().join("image")).unwrap();
    assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new());
}

/// In each of the two states in which its monitor can have been killed: while it ran, and while it was being removed.
#[test]
fn a_container_that_was_to_go_with_its_end_is_found_and_goes_and_that_is_told_before() {
    for (state, kind) in [("\"Running\":true", "unwatched"), ("\"RemovalInProgress\":true", "half-made")] {
        let house = House::new(&Ground::of("overlay2").unwrap());
        let record = house.container().0;
        for (file, word) in [("hostconfig.json", "\"AutoRemove\":true"), ("config.v2.json", state)] {
            let text = fs::read_to_string(record.join(file)).unwrap();
            let changed = text.replace(&word.replace("true", "false"), word);
            assert_ne!(changed, text);
            write(&record.join(file), &changed);
        }
        let findings = house.findings(&[]);
        assert_eq!((findings.len(), findings[0]["Fault"].as_str()), (1, Some(kind)), "{findings:#?}");
        assert!(findings[0]["Remedy"].as_str().unwrap().contains("(--rm)"), "{findings:#?}");
        house.done(&["check", "--repair"]);
        assert_eq!(house.done(&["ps", "-aq"]), "");
    }
}
