//! The pages that counterexamples are told as: they say what the model says, replay on our engine and on the simulator, and fail
//! where something else comes.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;

use layerlab_model::operation::{Operation, Step};
use layerlab_model::process::Machine;
use layerlab_model::promises::Promises;
use layerlab_properties::console::said;
use layerlab_properties::counterexample::Counterexample;
use layerlab_properties::generate::{Generator, Weights};
use layerlab_properties::page::{self, Told};
use layerlab_properties::sim;
use layerlab_scenarios::page::Page;
use layerlab_scenarios::pages;
use layerlab_scenarios::skip::skip;

mod lab;

use lab::{SKIPPED, replay, text};

/// Writes the pages of regressions anew, from what they hold, when it is set.
const REWRITE: &str = "LAYERLAB_REWRITE";

fn regressions() -> Vec<(Page, Vec<Told>)> {
    page::all_of(&pages::regressions()).unwrap()
}

/// What the page was made from.
fn counterexample(page: &Page, text: &str, told: &[Told]) -> Counterexample {
    let origin = |key: &str| page.origin.get(key).unwrap_or_else(|| panic!("{key}: {}", page.path.display())).clone();
    let (subject, backing) = origin("subject").split_once(" on ").map(|(s, b)| (s.to_owned(), b.to_owned())).unwrap();
    let findings = text.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    Counterexample {
        law: Some(origin("law")),
        subject,
        backing,
        rootless: false,
        kernel: origin("kernel"),
        seed: origin("seed").parse().unwrap(),
        steps: told.iter().map(|told| told.step.clone()).collect(),
        findings: findings.lines().map(str::to_owned).collect(),
    }
}

#[test]
fn pages_of_regressions_are_as_they_are_written() {
    assert!(!regressions().is_empty());
    for (page, told) in regressions() {
        let text = fs::read_to_string(&page.path).unwrap();
        let written = counterexample(&page, &text, &told).page(&page.title);
        if std::env::var_os(REWRITE).is_some() {
            fs::write(&page.path, written).unwrap();
        } else {
            assert_eq!(text, written, "{}: {REWRITE}=1 writes it anew", page.path.display());
        }
    }
}

#[test]
fn pages_of_regressions_replay_on_the_simulator_and_wrong_ones_do_not() {
    for (page, told) in regressions() {
        assert_eq!(sim::replay_page(&told), Ok(()), "{}", page.path.display());
        for at in 0..told.len() {
            let mut wrong = told.clone();
            wrong[at].gives = if wrong[at].gives == "ok" { "ENOENT".into() } else { "ok, otherwise".into() };
            let why = sim::replay_page(&wrong).unwrap_err();
            assert!(why.starts_with(&format!("step {}", at + 1)), "{why}");
        }
    }
}

#[test]
fn a_line_that_is_no_step_is_named() {
    let text = "# T\n\n```steps\n{\"user\":\"root\",\"do\":\"commit\",\"gives\":\"ok\"}\n{\"do\":\"dance\"}\n```\n";
    let page = Page::parse("x.md", text).unwrap();
    let why = page::steps_of(&page).unwrap_err().to_string();
    assert!(why.starts_with("x.md:5: no step of the model"), "{why}");
}

/// The steps of a random case that a shell can say; of those that are refused every third.
fn sayable(seed: u64, count: usize, has_layers: bool) -> Vec<Step> {
    let promises = Promises { layers: has_layers, root_is_inherited: true, ..Promises::COMMON };
    let mut machine = Machine::new(promises);
    let weights = Weights { commit: 12, remount: 4, ..Weights::default() };
    let mut generator = Generator::new(seed, weights, false);
    let (mut steps, mut refused) = (Vec::new(), 0);
    while steps.len() < count {
        let step = generator.step(&machine);
        let is_refused = machine.clone().step(&step).is_err();
        refused += usize::from(is_refused);
        let is_end = |step: &Step| matches!(step.operation, Operation::Commit | Operation::Remount);
        let is_useless = is_end(&step) && steps.last().is_none_or(is_end) || is_refused && refused % 3 > 0;
        if is_useless || step.operation.clone().paths_mut().iter().any(|path| path.to_string().contains("/.wh.")) {
            continue;
        }
        steps.push(step.clone());
        match said(&steps, has_layers) {
            Ok(_) => drop(machine.step(&step)),
            Err(_) => drop(steps.pop()),
        }
    }
    assert!(steps.iter().any(|step| step.operation == Operation::Commit), "{steps:?}");
    steps
}

fn of_seed(seed: u64, subject: &str) -> String {
    let made = Counterexample {
        law: Some("none".into()),
        subject: subject.into(),
        backing: "tmpfs".into(),
        rootless: false,
        kernel: "none".into(),
        seed,
        steps: sayable(seed, 30, subject != "layerlab-vfs"),
        findings: Vec::new(),
    };
    made.page(&made.claim())
}

#[test]
fn pages_replay_on_our_engine_and_wrong_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut right = Vec::new();
    for (seed, subject) in [(1, "layerlab-overlay2"), (2, "overlay"), (3, "layerlab-vfs")] {
        let path = directory.path().join(format!("seed-{seed}.md"));
        fs::write(&path, of_seed(seed, subject)).unwrap();
        right.push(path);
    }
    let output = replay(&right);
    if output.status.code() == Some(SKIPPED) {
        return skip("user", &text(&output));
    }
    assert!(output.status.success(), "{}", text(&output));
    // What should be refused and is not, and a tree that should be another.
    let page = fs::read_to_string(pages::regressions().join("refused-rename.md")).unwrap();
    for (number, (from, to)) in
        [("? exit 1\n...\n", ""), ("drwxr-xr-x 0:0 /case/d", "drwxr-x--- 0:0 /case/d")].iter().enumerate()
    {
        assert!(page.contains(from), "{page}");
        let path = directory.path().join(format!("wrong-{number}.md"));
        fs::write(&path, page.replacen(from, to, 1)).unwrap();
        let output = replay(&[path]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    }
}
