//! A report as JUnit's XML, which CI servers read: a test suite for each subject on a kernel and a backing, a test case for each law.

use std::collections::BTreeMap;

use anyhow::Context;
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{Cell, Report, words};
use crate::results::Outcome;

/// The whole report.
///
/// # Errors
/// When it cannot be written as XML.
pub fn of(report: &Report) -> anyhow::Result<String> {
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    for cell in &report.cells {
        let Cell { subject, kernel, backing, .. } = cell;
        let name = format!("{subject} on {backing}, {kernel}");
        suites.entry(name.clone()).or_insert_with(|| TestSuite::new(name)).add_test_case(case(cell));
    }
    let mut junit = Junit::new("layerlab-laws");
    junit.add_test_suites(suites.into_values());
    junit.to_string().context("cannot be told as XML")
}

fn case(cell: &Cell) -> TestCase {
    let status = match cell.outcome.as_str() {
        outcome if outcome == words(Outcome::Holds) => TestCaseStatus::success(),
        outcome if outcome == words(Outcome::Broken) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(cell.details.clone());
            status.set_description(cell.script.clone().unwrap_or_default());
            status
        }
        outcome => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("{outcome}: {}", cell.details));
            status
        }
    };
    let mut case = TestCase::new(cell.behaviour.clone(), status);
    case.set_classname(cell.subject.clone());
    case
}
