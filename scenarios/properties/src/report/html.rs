//! A report as one HTML page that needs nothing else: a table to filter and to sort, in which a click opens the script that shows a cell.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

use super::Report;
use crate::results::Outcome;

/// The page; minijinja escapes what is put into it, since its name ends with `.html`.
const NAME: &str = "page.html";

/// The whole report.
///
/// # Errors
/// When the template is wrong.
pub fn of(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template(NAME, include_str!("page.html"))?;
    let rows = Value::from(Serde(report.cells.iter().chain(&report.findings).collect::<Vec<_>>()));
    environment.get_template(NAME)?.render(context! {
        rows,
        holds => report.count(Outcome::Holds),
        broken => report.count(Outcome::Broken),
        idle => report.count(Outcome::NothingToJudge),
        not_run => report.count(Outcome::NotRun),
        findings => report.findings.len(),
        missing => report.missing.clone(),
    })
}
