//! Results of several machines become one report, in which nothing that broke is lost.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layerlab_properties::results::{self, Line, Outcome, Run};
use layerlab_scenarios::skip::skip;

const LAW: &str = "merged-view-equals-the-model";

fn line(subject: &str, outcome: Outcome) -> Line {
    Line {
        subject: subject.to_owned(),
        backing: "ext4".to_owned(),
        law: Some(LAW.to_owned()),
        outcome,
        reason: None,
        script: None,
        judgements: 5,
        run: run(None),
    }
}

fn run(shard: Option<String>) -> Run {
    Run { kernel: "6.12.1".to_owned(), rootless: false, seed: 7, shard, amount: "--cases 9 --steps 40".to_owned() }
}

/// What two machines found: one part of a subject holds and another is broken.
fn files(place: &Path) -> Vec<PathBuf> {
    let broken = Line {
        script: Some("mkdir '<a>' # <b>".to_owned()),
        run: run(Some("1/1".to_owned())),
        ..line("overlay", Outcome::Broken)
    };
    let not_run =
        Line { law: None, reason: Some("there is no btrfs".to_owned()), ..line("layerlab-btrfs", Outcome::NotRun) };
    let [one, other] = ["one", "other"].map(|name| place.join(name));
    results::add(&one, &[line("overlay", Outcome::Holds), not_run]).unwrap();
    results::add(&other, &[broken]).unwrap();
    results::add(&other, &[line("plain", Outcome::Holds)]).unwrap();
    vec![one, other]
}

fn report(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_layerlab-report")).args(arguments).output().unwrap()
}

#[test]
fn what_one_machine_saw_broken_is_broken() {
    let place = tempfile::tempdir().unwrap();
    let files = files(place.path());
    let output = report(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("1 cells hold, 1 are broken; of 0 there was nothing to judge, and 1 were not run."),
        "{text}"
    );
    assert!(text.contains(&format!("| {LAW} |  | broken | holds |")), "{text}");
    assert!(
        text.contains(&format!(
            "- cargo xtask laws {LAW} --subject overlay --backing ext4 --seed 7 --shard 1/1 --cases 9 --steps 40: "
        )),
        "{text}"
    );
    assert!(text.contains("- there is no btrfs: everything of layerlab-btrfs on ext4, 6.12.1"), "{text}");
    assert!(text.contains("| umoci 0.4.7"), "findings stand beside: {text}");
}

#[test]
fn it_is_junit_and_one_page_too() {
    let place = tempfile::tempdir().unwrap();
    let files = files(place.path());
    let [html, junit] = ["report.html", "report.xml"].map(|name| place.path().join(name));
    let output = report(&[&files[0], &files[1], Path::new("--html"), &html, Path::new("--junit"), &junit]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("tests=\"3\"")
            && junit.contains("failures=\"1\"")
            && junit.contains("&lt;a>") | junit.contains("&lt;a&gt;"),
        "{junit}"
    );
    let html_text = fs::read_to_string(&html).unwrap();
    assert!(html_text.contains("mkdir &#x27;&lt;a&gt;&#x27; # &lt;b&gt;"), "a script is text: {html_text}");
    assert!(
        html_text.contains("RN-01") && !html_text.contains("http-equiv") && !html_text.contains(" src="),
        "{html_text}"
    );

    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let Some(chromium) =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.exists())
    else {
        return skip("chromium", "there is no chromium to open a report with");
    };
    let shown = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", place.path().join("profile").display()))
        .arg(format!("file://{}", html.display()))
        .output()
        .unwrap();
    let (dom, said) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    let rows = html_text.matches("<tr data-subject").count();
    assert!(dom.contains(&format!("{rows} of {rows} are shown")) && !said.contains(":CONSOLE"), "{said}\n{dom}");
    assert!(dom.contains("<option value=\"layerlab-btrfs\">"), "{dom}");
}

#[test]
fn a_part_that_did_not_come_is_missed_and_what_judged_nothing_is_no_success() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    let part = |number: u64| Line { run: run(Some(format!("{number}/3"))), ..line("plain", Outcome::Holds) };
    results::add(&file, &[part(1), part(3)]).unwrap();
    let output = report(&[&file]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "layerlab-report: missing: part 2/3 from seed 7 of plain on ext4, 6.12.1\n");
    results::add(&file, &[part(2)]).unwrap();
    assert_eq!(report(&[&file]).status.code(), Some(0));

    let nothing = place.path().join("nothing");
    results::add(&nothing, &[line("plain", Outcome::NothingToJudge)]).unwrap();
    assert_eq!(report(&[&nothing]).status.code(), Some(77));
}

#[test]
fn a_run_that_cannot_go_on_is_in_its_results() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("results");
    let mut laws = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    laws.args([LAW, "--subject", "plain,./nothing-is-here", "--cases", "2", "--results"]).arg(&file);
    let output = laws.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let lines = results::read(std::slice::from_ref(&file)).unwrap();
    let is_told =
        |line: &Line| line.law.is_none() && line.reason.as_ref().is_some_and(|why| why.contains("nothing-is-here"));
    assert!(lines.iter().any(|line| line.outcome == Outcome::Broken && is_told(line)), "{lines:?}");
    assert_eq!(report(&[&file]).status.code(), Some(1));
}

#[test]
fn what_is_no_result_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "{}\n").unwrap();
    let output = report(&[&file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("file:1 is no result of layerlab-laws"), "{output:?}");
}

#[test]
fn the_laws_write_results_that_a_report_takes() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("results");
    let mut laws = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    laws.args([LAW, "--subject", "plain", "--cases", "3", "--results"]).arg(&file);
    let output = laws.output().unwrap();
    if output.status.code() == Some(77) {
        return skip("user", &String::from_utf8_lossy(&output.stdout));
    }
    assert!(output.status.success(), "{output:?}");
    let lines = results::read(std::slice::from_ref(&file)).unwrap();
    assert_eq!((lines.len(), lines[0].law.as_deref(), lines[0].outcome), (1, Some(LAW), Outcome::Holds));
    assert!(lines[0].judgements > 0);
    assert_eq!(report(&[&file]).status.code(), Some(0));
}
