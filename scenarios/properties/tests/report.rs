//! Results of several machines become one report, in which nothing that broke is lost.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layerlab_properties::finding::{self, Outcome as Seeing, Seen};
use layerlab_properties::results::{self, Line, Outcome, Run};
use layerlab_scenarios::skip::skip;

const LAW: &str = "merged-view-equals-the-model";

fn line(subject: &str, outcome: Outcome) -> Line {
    Line {
        subject: subject.to_owned(),
        version: None,
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
    assert!(text.contains("Of 3 cells: 1 holds, 0 deviates as documented, 1 deviates, 1 not run; "), "{text}");
    assert!(text.contains(&format!("| {LAW} | **deviates** 1 | holds |")), "{text}");
    let again = format!(
        "again: cargo xtask laws {LAW} --subject overlay --backing ext4 --seed 7 --shard 1/1 --cases 9 --steps 40"
    );
    assert!(text.contains(&format!("\n1. {again}\n")), "{text}");
    assert!(text.contains("| everything | not run 2 |") && text.contains("\n2. there is no btrfs\n"), "{text}");
    assert!(text.contains("of umoci 0.4.7"), "findings stand beside: {text}");
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
        junit.contains(&format!("tests=\"{}\"", 3 + finding::all().unwrap().len()))
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
    // As a click on a link leads there.
    let shown = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", place.path().join("profile").display()))
        .arg(format!("file://{}#{PAGE}", html.display()))
        .output()
        .unwrap();
    let (dom, said) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    let rows = html_text.matches(" data-subject=").count();
    let of_page = dom.split(&format!("<tr id=\"{PAGE}\"")).nth(1).unwrap();
    assert!(of_page.split("</tr>").next().unwrap().contains("<details open=\"\">"), "{of_page}");
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
    let lines = results::read(std::slice::from_ref(&file)).unwrap().lines;
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
    let lines = results::read(std::slice::from_ref(&file)).unwrap().lines;
    let of_law: Vec<_> = lines.iter().filter(|line| line.law.as_deref() == Some(LAW)).collect();
    assert_eq!((of_law.len(), of_law[0].outcome), (1, Outcome::Holds));
    assert!(of_law[0].judgements > 0);
    let is_sourced = |line: &&results::Line| line.reason.as_ref().is_some_and(|why| why.contains("mm/shmem.c"));
    let deviates = "truncating_to_the_same_length_is_a_change";
    let on_tmpfs = lines.iter().find(|line| line.law.as_deref() == Some(deviates)).filter(is_sourced);
    assert_eq!(on_tmpfs.unwrap().outcome, Outcome::Documented);
    assert_eq!(report(&[&file]).status.code(), Some(0));
}

/// A subject of which a page tells, in the version that it tells of, and in another.
fn told_by_a_page(place: &Path) -> PathBuf {
    let file = place.join("results");
    let of = |version: &str, law: &str, outcome| Line {
        version: Some(format!("fuse-overlayfs {version}")),
        law: Some(law.to_owned()),
        reason: Some("it says so".to_owned()),
        ..line("fuse-overlayfs", outcome)
    };
    let other = Line { backing: "xfs".to_owned(), ..of("1.14-1", HOLES, Outcome::Documented) };
    let lines = [of("1.10-1", HOLES, Outcome::Documented), of("1.10-1", LAW, Outcome::Holds), other];
    results::add(&file, &lines).unwrap();
    file
}

const HOLES: &str = "files_have_holes";
const PAGE: &str = "fuse-overlayfs-fills-holes-when-it-copies-up";

#[test]
fn a_cell_leads_to_the_page_that_tells_of_it_in_that_version() {
    let place = tempfile::tempdir().unwrap();
    let (file, json, html) =
        (told_by_a_page(place.path()), place.path().join("report.json"), place.path().join("report.html"));
    let output = report(&[&file, Path::new("--json"), &json, Path::new("--html"), &html]);
    assert!(output.status.success(), "what a page tells of is no failure: {output:?}");
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let told = |behaviour: &str, backing: &str| {
        let is_it = |cell: &&serde_json::Value| cell["behaviour"] == behaviour && cell["backing"] == backing;
        let cell = report["cells"].as_array().unwrap().iter().find(is_it).unwrap();
        (cell["told"].as_str().unwrap().to_owned(), cell["findings"].clone(), cell["about"].to_string())
    };
    let (word, pages, about) = told(HOLES, "ext4");
    assert_eq!((word.as_str(), pages), ("deviates", serde_json::json!([PAGE])));
    assert!(about.contains("SEEK_HOLE"), "its source is told: {about}");
    assert_eq!(told(HOLES, "xfs").0, "documented", "the page tells nothing of that version");
    assert_eq!(told(LAW, "ext4").0, "holds");
    let html = fs::read_to_string(html).unwrap();
    assert!(html.contains(&format!("<a href=\"#{PAGE}\">")) && html.contains(&format!("<tr id=\"{PAGE}\"")));
}

#[test]
fn what_a_page_tells_no_more_is_a_failure_and_what_it_does_not_tell_of_is_skipped() {
    let place = tempfile::tempdir().unwrap();
    let (file, junit) = (place.path().join("results"), place.path().join("report.xml"));
    let seen = |finding: &str, outcome| Seen { finding: finding.to_owned(), kernel: "6.12.1".to_owned(), outcome };
    let pages: Vec<String> = finding::all().unwrap().into_iter().map(|finding| finding.name).collect();
    let of_version = seen(&pages[1], Seeing::OtherVersion("9.9".to_owned()));
    results::add(&file, &[seen(&pages[0], Seeing::AsTold), of_version]).unwrap();
    let told = || {
        let output = report(&[&file, Path::new("--junit"), &junit]);
        (output.status.code(), fs::read_to_string(&junit).unwrap())
    };
    let (status, text) = told();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("here is 9.9, which does not do so") && text.contains("failures=\"0\""), "{text}");
    results::add(&file, &[seen(&pages[0], Seeing::Mended)]).unwrap();
    let (status, text) = told();
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("failures=\"1\"") && text.contains("mended? It does what it should"), "{text}");
}
