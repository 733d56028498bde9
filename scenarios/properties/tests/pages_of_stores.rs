//! The pages that counterexamples of stores are told as: they replay on our engine, and fail where something else comes.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;

use layerlab_properties::stores::Act;
use layerlab_properties::stores::case::drawn;
use layerlab_properties::stores::counterexample::Counterexample;
use layerlab_properties::stores::laws::Weights;
use layerlab_scenarios::skip::skip;

mod lab;

use lab::{SKIPPED, replay, text};

fn page(driver: &str, seed: u64, acts: Vec<Act>) -> String {
    let made = Counterexample {
        law: Some("none".into()),
        subject: format!("store-{driver}"),
        backing: "tmpfs".into(),
        kernel: "none".into(),
        seed,
        acts,
        findings: vec!["nothing".into()],
    };
    made.page(&made.claim()).unwrap()
}

/// A case of every word, and a few of chance.
fn every_word() -> Vec<Act> {
    vec![
        Act::Load { layers: vec![0, 1, 2, 3, 4, 1] },
        Act::Commit { image: 0, letter: Some('x') },
        Act::Commit { image: 1, letter: Some('y') },
        Act::Commit { image: 1, letter: None },
        Act::Load { layers: vec![0, 4] },
        Act::Flatten { image: 2 },
        Act::Carry { image: 2 },
        Act::Create { image: 4 },
        Act::Create { image: 1 },
        Act::RemoveContainer { container: 1 },
        Act::Remove { image: 4 },
        Act::Tag { image: 5, over: 3 },
        Act::Prune { all: false },
        Act::Reopen,
        Act::Remove { image: 0 },
    ]
}

#[test]
fn pages_of_stores_replay_on_our_engine_and_wrong_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: String, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut right = Vec::new();
    for (seed, driver) in [(1, "overlay2"), (2, "overlay"), (3, "vfs")] {
        right.push(write(format!("{driver}-words.md"), &page(driver, seed, every_word())));
        let acts = drawn(seed, 10, Weights { commits: 12, prunes: 6, ..Weights::default() });
        right.push(write(format!("{driver}-{seed}.md"), &page(driver, seed, acts)));
    }
    let output = replay(&right);
    if output.status.code() == Some(SKIPPED) {
        return skip("user", &text(&output));
    }
    assert!(output.status.success(), "{}", text(&output));
    // A layer that nothing reaches, a directory that is no layer's, an image that should have gone, another content.
    let page = page("overlay2", 1, every_word());
    let stray = "# mkdir /var/lib/docker/overlay2/stray\n# books=";
    let wrong = [
        ("# cmp reached there\n```\n\nEach", "# echo more >> reached; cmp reached there\n```\n\nEach"),
        ("# books=", stray),
        ("# docker image prune -f >", "# : >"),
        ("# printf y > new", "# printf z > new"),
    ];
    for (number, (from, to)) in wrong.iter().enumerate() {
        assert!(page.contains(from), "{page}");
        let path = write(format!("wrong-{number}.md"), &page.replacen(from, to, 1));
        let output = replay(&[path]);
        assert_eq!(output.status.code(), Some(1), "{from}: {}", text(&output));
    }
}
