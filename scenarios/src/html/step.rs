//! One step or directive as a template takes it: what was typed, what came, what it changed.

use serde::Serialize;

use super::changes::{Group, groups};
use super::ids::Ids;
use super::picture::{Touched, picture, summary};
use super::table::Table;
use super::{HtmlError, escape};
use crate::moment::Moment;
use crate::page::{Directive, ExpectedText, Prompt, Step, StepOption, Targets};
use crate::replay::{Failure, PageReport, Problem, StepReport, StepStatus};

/// Characters of a line beyond what a listing has.
const WIDE: usize = 200;

/// One command with what came.
#[derive(Debug, Serialize)]
pub(super) struct StepView {
    number: usize,
    status: &'static str,
    prompt_html: String,
    command_html: String,
    output_html: String,
    /// Whether a line of the output is so long that it is broken rather than scrolled.
    is_wide: bool,
    exit: Option<i32>,
    duration: String,
    /// For whom it is, if not for all.
    only: String,
    differences: Vec<Difference>,
    problems: Vec<ProblemView>,
    change: Option<ChangeView>,
}

/// A line of the page that holds for some targets only.
#[derive(Debug, Serialize)]
struct Difference {
    targets: String,
    is_ours: bool,
    text: String,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    text: String,
    diff: Vec<DiffLine>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DiffLine {
    kind: &'static str,
    text: String,
}

/// A line of a lab block.
#[derive(Debug, Serialize)]
pub(super) struct DirectiveView {
    text: String,
    status: &'static str,
    only: String,
    change: Option<ChangeView>,
}

/// What lies on disk after a step, and what it changed.
#[derive(Debug, Serialize)]
pub(super) struct ChangeView {
    groups: Vec<Group>,
    stacks: Vec<Stack>,
}

#[derive(Debug, Serialize)]
struct Stack {
    svg: String,
    summary: String,
    gone: Vec<String>,
    table: Table,
}

/// What a step's line looks like, if the step is of this `target`.
pub(super) fn step(step: &Step, report: &PageReport, target: &str, ids: &Ids, change: Option<ChangeView>) -> StepView {
    let found = report.steps.iter().find(|found| found.number == step.number);
    let mut view = StepView {
        number: step.number,
        status: "elsewhere",
        prompt_html: escape(&step.prompt.to_string()),
        command_html: escape(&step.command_text()),
        output_html: String::new(),
        is_wide: false,
        exit: None,
        duration: String::new(),
        only: step.targets.names().join(", "),
        differences: differences(step, target),
        problems: Vec::new(),
        change,
    };
    if let Some(found) = found {
        fill(&mut view, step, found, ids);
        let failure = report.failure.as_ref().filter(|failure| failure.step == step.number);
        view.problems = failure.map(problems).unwrap_or_default();
    }
    view
}

fn fill(view: &mut StepView, step: &Step, found: &StepReport, ids: &Ids) {
    view.status = match found.status {
        StepStatus::Passed => "passed",
        StepStatus::Failed => "failed",
        StepStatus::NotRun => "not-run",
    };
    if matches!(step.prompt, Prompt::Session(_)) {
        view.prompt_html = ids.mark(&found.prompt);
    }
    view.command_html = ids.mark(&found.command).replace('\n', "\n<span class=\"more\">&gt; </span>");
    if found.status != StepStatus::NotRun {
        view.output_html = ids.mark(&found.actual);
        view.is_wide = found.actual.lines().any(|line| line.chars().count() > WIDE);
        view.exit = found.exit;
        view.duration = format!("{} ms", found.duration.as_millis());
    }
}

fn differences(step: &Step, target: &str) -> Vec<Difference> {
    let difference = |targets: &Targets, text: String| {
        (!targets.names().is_empty()).then(|| Difference {
            targets: targets.names().join(", "),
            is_ours: targets.hold_for(target),
            text,
        })
    };
    let options = step.options.iter().filter_map(|(targets, option)| difference(targets, option_words(option)));
    let lines = step.expected.iter().filter_map(|(targets, expected)| {
        let text = match &expected.text {
            ExpectedText::Line(pattern) => pattern.source.clone(),
            ExpectedText::AnyLines => "any lines".to_owned(),
        };
        difference(targets, text)
    });
    options.chain(lines).collect()
}

fn option_words(option: &StepOption) -> String {
    match option {
        StepOption::Exit(code) => format!("exit code {code}"),
        StepOption::Columns => "widths of columns do not count".to_owned(),
        StepOption::Unordered => "lines in any order".to_owned(),
        StepOption::Timeout(limit) => format!("may take {} s", limit.as_secs()),
        StepOption::Keys(keys) => format!("keys are pressed: {}", keys.pressed.escape_debug()),
        StepOption::Opens(prompt) => format!("opens a session at the prompt {prompt}"),
    }
}

fn problems(failure: &Failure) -> Vec<ProblemView> {
    let view = |problem: &Problem| match problem {
        Problem::Output { diff, notes } => ProblemView {
            text: "The output is not what the page expects:".to_owned(),
            diff: diff.lines().map(diff_line).collect(),
            notes: notes.clone(),
        },
        problem => ProblemView { text: problem.to_string(), diff: Vec::new(), notes: Vec::new() },
    };
    failure.problems.iter().map(view).collect()
}

fn diff_line(line: &str) -> DiffLine {
    let kind = match line.as_bytes() {
        [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] | [b'@', b'@', ..] => "head",
        [b'-', ..] => "expected",
        [b'+', ..] => "came",
        _ => "same",
    };
    DiffLine { kind, text: line.to_owned() }
}

/// A directive; its moment tells that it was done.
pub(super) fn directive(directive: &Directive, target: &str, change: Option<ChangeView>) -> DirectiveView {
    let status = if directive.targets.hold_for(target) { "done" } else { "elsewhere" };
    let only = directive.targets.names().join(", ");
    DirectiveView { text: directive.arrangement.to_string(), status, only, change }
}

/// The pictures of a moment, with what differs from the one before.
pub(super) fn change(now: &Moment, before: Option<&Moment>, ids: &Ids) -> Result<ChangeView, HtmlError> {
    let changes = now.since(before);
    let mut touched = Touched::default();
    for change in &changes {
        // What a layer holds lies in `diff` (overlay2) or in `root` and `upper` (overlay); the rest is bookkeeping.
        if let [_, directory, "diff" | "root" | "upper", ..] = change.path.split('/').collect::<Vec<_>>()[..] {
            touched.changed.insert(directory.to_owned());
        }
    }
    let mut stacks = Vec::new();
    for books in now.books.iter().filter(|books| !books.is_empty()) {
        let earlier = before.and_then(|before| before.books.iter().find(|earlier| earlier.driver == books.driver));
        let things = books_things(books);
        let earlier_things = earlier.map(books_things).unwrap_or_default();
        touched.new.extend(things.iter().filter(|thing| !earlier_things.contains(thing)).map(|(id, _)| id.clone()));
        let gone = earlier_things.iter().filter(|(id, _)| things.iter().all(|(other, _)| other != id));
        stacks.push(Stack {
            svg: picture(books, &touched, ids),
            summary: summary(books),
            gone: gone.map(|(_, name)| name.clone()).collect(),
            table: Table::of(books, ids),
        });
    }
    Ok(ChangeView { groups: groups(&changes, ids), stacks })
}

/// The ID of everything in the books, with what to call it.
fn books_things(books: &crate::books::Books) -> Vec<(String, String)> {
    let name = |names: &[String], id: &str| names.first().cloned().unwrap_or_else(|| super::ids::short(id).to_owned());
    let images =
        books.images.iter().map(|image| (image.id.clone(), format!("image {}", name(&image.names, &image.id))));
    let layers = books.layers.keys().map(|id| (id.clone(), format!("layer {}", super::ids::short(id))));
    let containers = books.containers.iter().map(|one| (one.id.clone(), format!("container {}", one.name)));
    images.chain(layers).chain(containers).collect()
}
