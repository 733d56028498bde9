//! A report as JUnit's XML, which CI servers read: a test suite for each subject on a kernel and a backing, a test case for each behaviour; and one of findings for each kernel
//! that they were run on.
//!
//! *Holds*: a page of a finding that does not show what it tells any more is a failure, since it has to be taken back; one about another version is skipped, with the reason.

use std::collections::BTreeMap;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{Cell, Report, Told, ToldFinding};
use crate::finding::Outcome;

/// The whole report.
///
/// # Errors
/// When it cannot be written as XML.
pub fn of(report: &Report) -> anyhow::Result<String> {
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    let mut add = |name: String, case: TestCase| {
        suites.entry(name.clone()).or_insert_with(|| TestSuite::new(name)).add_test_case(case);
    };
    for cell in &report.cells {
        let Cell { subject, kernel, backing, .. } = cell;
        add(format!("{subject} on {backing}, {kernel}"), case(cell));
    }
    for failure in &report.failures {
        add("beside the laws".to_owned(), TestCase::new(failure.clone(), failed(failure, None)));
    }
    for finding in &report.findings {
        let ToldFinding { name, tool, title, .. } = finding;
        let case = |status| {
            let mut case = TestCase::new(name.clone(), status);
            case.set_classname(tool.clone()).set_system_out(title.clone());
            case
        };
        if finding.seen.is_empty() {
            add("findings".to_owned(), case(skipped("not run: cargo xtask findings --results FILE")));
        }
        for seen in &finding.seen {
            add(format!("findings, {}", seen.kernel), case(status_of(&seen.outcome, finding)));
        }
    }
    let mut junit = Junit::new("layerlab-laws");
    junit.add_test_suites(suites.into_values());
    junit.to_string().context("cannot be told as XML")
}

fn case(cell: &Cell) -> TestCase {
    let Cell { behaviour, about, subject, told, details, .. } = cell;
    let status = match told {
        _ if cell.is_broken => failed(details, cell.script.as_deref()),
        Told::Holds => TestCaseStatus::success(),
        _ => {
            let pages = cell.findings.iter().map(|page| format!("finding {page}"));
            let why = pages.chain([details.clone(), about.clone()]).filter(|words| !words.is_empty());
            skipped(&format!("{}: {}", told.words(), why.collect::<Vec<_>>().join("; ")))
        }
    };
    let mut case = TestCase::new(behaviour.clone(), status);
    case.set_classname(subject.clone());
    case
}

fn status_of(outcome: &Outcome, finding: &ToldFinding) -> TestCaseStatus {
    let script = Some(finding.script.as_str());
    match outcome {
        Outcome::AsTold => TestCaseStatus::success(),
        Outcome::Mended => failed("mended? It does what it should; if so, take the page back", script),
        Outcome::Otherwise(printed) => {
            failed(&format!("mended? It is not as the page tells any more, it prints: {printed}"), script)
        }
        Outcome::NoAnswer => failed("it did not end in time", script),
        Outcome::Unasked(why) => skipped(why),
        Outcome::OtherVersion(version) => {
            skipped(&format!("the page tells of {}, here is {version}, which does not do so", finding.tool))
        }
    }
}

fn failed(message: &str, script: Option<&str>) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    status.set_description(script.unwrap_or_default());
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}
