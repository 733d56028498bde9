//! Puts one page together: header, contents, prose with its steps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::card::{Card, Circumstances};
use super::ids::Ids;
use super::markdown::{self, BlockKind, Heading};
use super::step::{self, ChangeView};
use super::{HtmlError, templates};
use crate::lab::prepare::workspace_root;
use crate::moment::{After, Moment};
use crate::page::{Item, Page, Step};
use crate::replay::{PageReport, StepStatus};

/// A section in the table of contents.
#[derive(Debug, Serialize)]
struct Section {
    id: String,
    title: String,
    steps: usize,
    has_failed: bool,
}

/// The HTML page of a replay, and its card; `text` is the page's Markdown.
pub fn page(page: &Page, text: &str, report: &PageReport, on: &Circumstances) -> Result<(String, Card), HtmlError> {
    let ids = Ids::of(&report.moments);
    let mut changes = changes(&report.moments, &ids)?;
    let items = RefCell::new(page.items.iter().peekable());
    let (body, headings) = markdown::render(text, &mut |kind, lines| {
        let mut html = String::new();
        let mut items = items.borrow_mut();
        while let Some(item) = items.next_if(|item| lines.contains(&line(item))) {
            html += &match (kind, item) {
                (BlockKind::Console, Item::Step(step)) => {
                    let change = changes.remove(&(false, step.number));
                    let view = step::step(step, report, &on.target, &ids, change);
                    templates::fill("step.html", &json!({ "step": view }))?
                }
                (_, Item::Arrange(directive)) => {
                    let change = changes.remove(&(true, directive.line));
                    let view = step::directive(directive, &on.target, change);
                    templates::fill("directive.html", &json!({ "directive": view }))?
                }
                (BlockKind::Lab, Item::Step(_)) => String::new(),
            };
        }
        Ok(html)
    })?;
    let card = card(page, report, on);
    let sections = sections(&headings, page, report);
    let path = page.path.strip_prefix(workspace_root()).unwrap_or(&page.path).display().to_string();
    let has_pictures = report.moments.iter().any(|moment| moment.books.iter().any(|books| !books.is_empty()));
    let source = page.source.clone().unwrap_or_default();
    let values = json!({
        "card": card, "on": on, "body": body, "sections": sections, "path": path, "source": source, "has_pictures": has_pictures,
    });
    let html = templates::fill("page.html", &values)?;
    Ok((html, card))
}

fn line(item: &Item) -> usize {
    match item {
        Item::Step(step) => step.line,
        Item::Arrange(directive) => directive.line,
    }
}

/// What each step (or directive, by its line) changed.
fn changes(moments: &[Moment], ids: &Ids) -> Result<BTreeMap<(bool, usize), ChangeView>, HtmlError> {
    let mut changes = BTreeMap::new();
    let mut before = None;
    for moment in moments {
        let key = match moment.after {
            After::Step(number) => (false, number),
            After::Arrangement(line) => (true, line),
        };
        changes.insert(key, step::change(moment, before, ids)?);
        before = Some(moment);
    }
    Ok(changes)
}

fn card(page: &Page, report: &PageReport, on: &Circumstances) -> Card {
    let differences = page.differences(&on.target);
    let all_books = report.moments.iter().flat_map(|moment| &moment.books);
    let mut drivers: Vec<String> =
        all_books.filter(|books| !books.is_empty()).map(|books| books.driver.clone()).collect();
    drivers.sort();
    drivers.dedup();
    Card {
        name: page.name(),
        title: page.title.clone(),
        reason: String::new(),
        passed: report.count(StepStatus::Passed),
        failed: report.failure.as_ref().map(|failure| failure.step),
        not_run: report.count(StepStatus::NotRun),
        differences: differences.marked,
        unlike: differences.unlike.to_owned(),
        changes: report.moments.len(),
        drivers,
        on: on.clone(),
        has_page: true,
    }
}

fn sections(headings: &[Heading], page: &Page, report: &PageReport) -> Vec<Section> {
    let ends = headings.iter().skip(1).map(|heading| heading.line).chain([usize::MAX]);
    let section = |(heading, end): (&Heading, usize)| {
        let within = |step: &&Step| heading.line < step.line && step.line < end;
        let failed = report.failure.as_ref().map(|failure| failure.step);
        Section {
            id: heading.id.clone(),
            title: heading.title.clone(),
            steps: page.steps().filter(within).count(),
            has_failed: page.steps().filter(within).any(|step| Some(step.number) == failed),
        }
    };
    headings.iter().zip(ends).map(section).collect()
}
