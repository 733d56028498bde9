//! A report as one HTML page that needs nothing else: a table to filter and to sort, in which a click opens the script that shows a cell.

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

use super::{Report, Told};

/// The page; minijinja escapes what is put into it, since its name ends with `.html`.
const NAME: &str = "page.html";

/// The whole report.
///
/// # Errors
/// When the template is wrong.
pub fn of(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template(NAME, include_str!("page.html"))?;
    let rows: Vec<_> =
        report.cells.iter().map(|cell| context! { words => cell.told.words(), ..Value::from(Serde(cell)) }).collect();
    let counts = Told::ALL.map(|told| format!("{} {}", report.count(told), told.words()));
    environment.get_template(NAME)?.render(context! {
        rows,
        counts => counts.join(", "),
        findings => Value::from(Serde(report.findings.clone())),
        missing => report.missing.clone(),
        failures => report.failures.clone(),
        runs => report.runs.clone(),
    })
}
