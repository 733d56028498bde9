//! Every kind of change that was recorded of a real dockerd is replayed by a page, where `docker diff` of that very container says what
//! Docker said of it.
//!
//! The list is `scenarios/cases/diff/kinds.txt`: a kind, its pages, what a container does there, and what is said of it, a line each.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use layerlab_scenarios::page::{ExpectedText, Page, Step};

/// As many as the recording has.
const KINDS: usize = 74;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/diff")
}

/// What is typed in a step, with its lines.
fn typed(step: &Step) -> String {
    step.command.iter().map(|line| format!("{}\n", line.source)).collect()
}

/// The name that a step gives to its container.
fn container(typed: &str) -> Option<&str> {
    typed.split_once("--name ")?.1.split_whitespace().next()
}

/// The lines that Docker must say.
fn said(step: &Step) -> Vec<String> {
    let expected = step.expected_for("docker").into_iter();
    let line = |text| match text {
        ExpectedText::Line(pattern) => pattern.source,
        ExpectedText::AnyLines => panic!("line {}: anything may stand there", step.line),
    };
    expected.map(|expected| line(expected.text)).collect()
}

/// Why these lines do not say `wanted`, if they do not.
fn fault(wanted: &str, said: &[String]) -> Option<String> {
    let is_at_or_below = |line: &String, path: &str| {
        let of = line.split_once(' ').map_or("", |(_, of)| of);
        of == path || of.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
    };
    let holds = match (wanted, wanted.strip_prefix("nothing of ")) {
        ("nothing", _) => said.is_empty(),
        (_, Some(path)) => !said.iter().any(|line| is_at_or_below(line, path)),
        (line, None) => said.iter().any(|other| other == line),
    };
    (!holds).then(|| format!("wanted: {wanted}, said: {said:?}"))
}

/// Why a page does not show that a container does `words` and Docker says `outcome` of it.
fn fault_of(page: &Page, words: &str, outcome: &str) -> Option<String> {
    let steps: Vec<(&Step, String)> = page.steps().map(|step| (step, typed(step))).collect();
    let does = |(_, typed): &(&Step, String)| typed.starts_with("docker run") && typed.contains(words);
    let Some(at) = steps.iter().position(does) else { return Some(format!("no container does {words}")) };
    let (run, typed) = &steps[at];
    if outcome == "refused" {
        return (run.rules("docker").exit == 0).then(|| format!("{words} is not refused"));
    }
    let Some(name) = container(typed) else { return Some(format!("nobody can ask what changed in {typed}")) };
    let asks = |(_, typed): &&(&Step, String)| {
        let asked = typed.strip_prefix("docker diff ").and_then(|rest| rest.split_whitespace().next());
        asked == Some(name)
    };
    let Some((diff, _)) = steps[at..].iter().find(asks) else {
        return Some(format!("nobody asks for the diff of {name}"));
    };
    outcome.split(", ").find_map(|wanted| fault(wanted, &said(diff)))
}

#[test]
fn every_kind_of_change_is_on_its_pages_with_what_docker_says_of_it() {
    let text = std::fs::read_to_string(folder().join("kinds.txt")).unwrap();
    let mut kinds = BTreeSet::new();
    let mut pages = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (shown, outcome) = line.split_once(" => ").unwrap_or_else(|| panic!("{line}"));
        let [kind, on, words] = shown.splitn(3, ": ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        kinds.insert(kind.to_owned());
        for name in on.split(", ") {
            assert!(pages.insert((kind.to_owned(), name.to_owned())), "{kind} is listed twice for {name}");
            let page = Page::read(folder().join(format!("{name}.md"))).unwrap();
            if let Some(fault) = fault_of(&page, words, outcome) {
                panic!("{kind} on {name}: {fault}");
            }
        }
    }
    assert_eq!(kinds.len(), KINDS);
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let there = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let there: BTreeSet<String> = there.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(
        pages.into_iter().map(|(_, page)| page).collect::<BTreeSet<_>>(),
        there,
        "every page of the folder shows a kind"
    );
}

#[test]
fn the_diff_of_another_container_and_another_line_are_not_taken_for_it() {
    let text = "# T\n\n```console\n# docker run --name one base sh -c 'echo x > /t/x'\n# docker run --name two base true\n\
                # docker diff two\nC /t\nA /t/y\n```\n";
    let page = Page::parse("t.md", text).unwrap();
    assert_eq!(fault_of(&page, "echo x > /t/x", "A /t/x").unwrap(), "nobody asks for the diff of one");
    assert_eq!(fault_of(&page, "base true", "A /t/y, nothing of /t/x"), None);
    for wrong in ["A /t/x", "C /t/y", "nothing", "nothing of /t"] {
        assert!(fault_of(&page, "base true", wrong).unwrap().starts_with("wanted: "), "{wrong}");
    }
    assert!(fault_of(&page, "base true", "refused").is_some() && fault_of(&page, "base false", "nothing").is_some());
}
