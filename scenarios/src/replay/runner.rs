//! The replay itself: directives to the machine, commands to the terminal, what comes against the page.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::failure::{Failure, Problem};
use super::normal::Transcript;
use super::report::{PageReport, StepReport, StepStatus, TreeReport};
use super::session::{self, Awaited, Input, Trouble, Typed};
use super::{Machine, Observer, ReplayError, ReplayOptions};
use crate::listing::normalise_further;
use crate::matcher::{Bindings, Mismatch, Origin, match_output, unified_diff};
use crate::moment::{After, Moment};
use crate::page::{Arrangement, Directive, Expected, ExpectedText, Host, Item, Page, Prompt, Step};
use crate::terminal::Terminal;

/// A tree is taken once two listings this far apart are the same, or after the longer time.
const SETTLED_FOR: Duration = Duration::from_millis(100);
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Replays `page` on `machine`, telling `observer` what happens.
///
/// A step that comes out wrong ends the replay and is in [`PageReport::failure`]; an error means that there was nothing to replay
/// on, or that the page asks for what the machine does not have.
pub fn replay(
    page: &Page,
    machine: &mut dyn Machine,
    observer: &mut dyn Observer,
    options: &ReplayOptions,
) -> Result<PageReport, ReplayError> {
    let target = machine.target().to_owned();
    let path = || page.path.display().to_string();
    if !page.targets.contains(&target) {
        return Err(ReplayError::Target { page: path(), target });
    }
    let steps: Vec<&Step> = page.steps().filter(|step| step.targets.hold_for(&target)).collect();
    if let Some(step) = options.only.filter(|only| steps.iter().all(|step| step.number != *only)) {
        let last = steps.last().map_or(0, |step| step.number);
        return Err(ReplayError::NoSuchStep { page: path(), step, target, last });
    }
    let terminals = BTreeMap::from([(Host::First, open(machine, options)?)]);
    let transcript = Transcript::default();
    let report = PageReport { steps: steps.iter().map(|step| not_run(step)).collect(), ..PageReport::default() };
    let mut run = Run {
        page,
        machine,
        observer,
        options,
        target,
        steps,
        terminals,
        bindings: Bindings::default(),
        transcript,
        report,
        listing: None,
        tree: None,
        tree_numbers: BTreeMap::new(),
        log_bytes: 0,
    };
    run.all()?;
    run.report.transcript = run.transcript.text;
    run.observer.page_ended(&run.report);
    Ok(run.report)
}

fn open(machine: &mut dyn Machine, options: &ReplayOptions) -> Result<Terminal, ReplayError> {
    let shell = machine.shell().map_err(ReplayError::Shell)?;
    let mut terminal =
        Terminal::open(shell).map_err(|source| ReplayError::Terminal { source, screen: String::new() })?;
    match session::first_prompt(&mut terminal, options.timeout) {
        Ok(()) => Ok(terminal),
        Err(source) => Err(ReplayError::Terminal { source, screen: session::screen(&mut terminal).join("\n") }),
    }
}

fn not_run(step: &Step) -> StepReport {
    StepReport {
        number: step.number,
        line: step.line,
        prompt: step.prompt.to_string(),
        command: step.command_text(),
        status: StepStatus::NotRun,
        actual: String::new(),
        exit: None,
        duration: std::time::Duration::ZERO,
    }
}

struct Run<'a> {
    page: &'a Page,
    machine: &'a mut dyn Machine,
    observer: &'a mut dyn Observer,
    options: &'a ReplayOptions,
    target: String,
    /// The steps of this target.
    steps: Vec<&'a Step>,
    /// One for each host on which something was typed.
    terminals: BTreeMap<Host, Terminal>,
    bindings: Bindings,
    transcript: Transcript,
    report: PageReport,
    /// The last listing of the data root.
    listing: Option<String>,
    /// The same, normalised.
    tree: Option<String>,
    /// The numbers that ids have in all trees of this run.
    tree_numbers: BTreeMap<String, usize>,
    /// How long the engine's log was when the step began.
    log_bytes: usize,
}

/// A step's outcome before it is written down.
struct Outcome {
    output: Vec<String>,
    exit: Option<i32>,
    problems: Vec<Problem>,
    bindings: Bindings,
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), ReplayError> {
        let shown = if self.options.only.is_some() { 1 } else { self.steps.len() };
        self.observer.page_started(self.page, &self.target, shown);
        if let Some(only) = self.options.only {
            self.observer.setting_up(self.steps.iter().filter(|step| step.number < only).count());
        }
        let mut index = 0;
        for item in &self.page.items {
            match item {
                Item::Arrange(directive) if directive.targets.hold_for(&self.target) => self.arrange(directive)?,
                Item::Step(step) if step.targets.hold_for(&self.target) => {
                    self.step(index, step)?;
                    index += 1;
                    if !self.report.is_passed() || self.options.only == Some(step.number) {
                        break;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn arrange(&mut self, directive: &Directive) -> Result<(), ReplayError> {
        self.machine.arrange(directive.arrangement).map_err(|reason| ReplayError::Arrange {
            page: self.page.path.display().to_string(),
            line: directive.line,
            arrangement: directive.arrangement,
            reason,
        })?;
        if let Arrangement::Host(host) = directive.arrangement {
            self.transcript.host(host);
            if !self.terminals.contains_key(&host) {
                self.terminals.insert(host, open(self.machine, self.options)?);
            }
        }
        self.take_moment(0, After::Arrangement(directive.line))?;
        self.take_tree(0, format!("lab: {}", directive.arrangement))
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<(), ReplayError> {
        let is_shown = self.options.only.is_none_or(|only| only == step.number);
        if is_shown {
            self.observer.step_started(step);
        }
        self.log_bytes = self.machine.engine_log().len();
        let begun = Instant::now();
        let rules = step.rules(&self.target);
        let outcome = self.typed(index, step);
        let is_passed = outcome.problems.is_empty();
        let report = &mut self.report.steps[index];
        report.duration = begun.elapsed();
        report.status = if is_passed { StepStatus::Passed } else { StepStatus::Failed };
        report.actual = outcome.output.join("\n");
        report.exit = outcome.exit;
        self.take_moment(step.number, After::Step(step.number))?;
        if !is_passed {
            let failure = self.failure(step, outcome);
            self.observer.step_failed(step, &failure);
            self.report.failure = Some(failure);
            return Ok(());
        }
        self.bindings = outcome.bindings;
        self.transcript.add(step, &rules, &outcome.output, outcome.exit, &self.bindings);
        self.take_tree(step.number, format!("step {}: {}", step.number, step.command_text()))?;
        if is_shown {
            self.observer.step_passed(step, &self.report.steps[index]);
            if self.options.pause && self.observer.pause(step).is_break() {
                self.report.stopped = Some(step.number);
            }
        }
        Ok(())
    }

    fn typed(&mut self, index: usize, step: &Step) -> Outcome {
        let rules = step.rules(&self.target);
        let wrong =
            |problem, output| Outcome { output, exit: None, problems: vec![problem], bindings: Bindings::default() };
        let is_first = self.steps[..index].iter().all(|earlier| earlier.host != step.host);
        if let (true, Prompt::Session(wanted)) = (is_first, &step.prompt) {
            return wrong(Problem::Prompt { wanted: wanted.source.clone(), found: "#".into() }, Vec::new());
        }
        let lines: Result<Vec<String>, String> = step.command.iter().map(|line| self.bindings.fill(line)).collect();
        let lines = match lines {
            Ok(lines) => lines,
            Err(what) => return wrong(Problem::Unbound(what), Vec::new()),
        };
        self.report.steps[index].command = lines.join("\n");
        if let Prompt::Session(prompt) = &step.prompt
            && let Ok(prompt) = self.bindings.fill(prompt)
        {
            self.report.steps[index].prompt = prompt;
        }
        let next = self.steps[index + 1..].iter().find(|next| next.host == step.host);
        let awaited = Awaited {
            typed_at: &step.prompt,
            prompt: next.map_or(&Prompt::Lab, |next| &next.prompt),
            origin: Origin { step: step.number, line: next.map_or(step.line, |next| next.line) },
        };
        let timeout = rules.timeout.unwrap_or(self.options.timeout);
        let input = match step.pressed() {
            Some(keys) => Input::Pressed(keys),
            None => Input::Typed { lines: &lines, keys: &rules.keys },
        };
        let Some(terminal) = self.terminals.get_mut(&step.host) else {
            return wrong(Problem::Terminal(format!("the host {} has no terminal", step.host.address())), Vec::new());
        };
        match session::type_command(terminal, &input, &awaited, &self.bindings, timeout) {
            Ok(typed) => self.held_against_page(step, typed),
            Err(Trouble { problem, output }) => wrong(problem, output),
        }
    }

    fn held_against_page(&self, step: &Step, typed: Typed) -> Outcome {
        let rules = step.rules(&self.target);
        let expected = step.expected_for(&self.target);
        let mut problems = Vec::new();
        let bindings = match match_output(&expected, &typed.output, &rules, &typed.bindings, step.number) {
            Ok(bindings) => bindings,
            Err(Mismatch { notes }) => {
                let diff = unified_diff(&expected, &typed.output, &rules, &typed.bindings);
                problems.push(Problem::Output { diff, notes });
                typed.bindings
            }
        };
        if let Some(got) = typed.exit.filter(|got| *got != rules.exit) {
            problems.push(Problem::Exit { wanted: rules.exit, got });
        }
        Outcome { output: typed.output, exit: typed.exit, problems, bindings }
    }

    fn failure(&mut self, step: &Step, outcome: Outcome) -> Failure {
        Failure {
            page: self.page.path.clone(),
            again: self.again(),
            target: self.target.clone(),
            step: step.number,
            line: step.line,
            command: format!("{} {}", step.prompt, step.command_text().replace('\n', "\n  > ")),
            problems: outcome.problems,
            expected: step.expected_for(&self.target).iter().map(source).collect(),
            actual: outcome.output,
            bindings: self.bindings.clone(),
            engine_log: self.machine.engine_log().get(self.log_bytes..).unwrap_or_default().to_owned(),
        }
    }

    /// A path is understood from any directory that it is relative to; a name only by those who know the house's pages.
    fn again(&self) -> String {
        let plain = || format!("cargo xtask replay {} --on {}", self.page.path.display(), self.target);
        self.options.again.clone().unwrap_or_else(plain)
    }

    fn take_moment(&mut self, step: usize, after: After) -> Result<(), ReplayError> {
        let Some(data_root) = self.machine.data_root().filter(|_| self.options.moments) else { return Ok(()) };
        let moment = Moment::take(&data_root, after)
            .map_err(|error| ReplayError::Tree { step, reason: format!("{}: {error}", data_root.display()) })?;
        if !moment.since(self.report.moments.last()).is_empty() {
            self.report.moments.push(moment);
        }
        Ok(())
    }

    fn take_tree(&mut self, step: usize, after: String) -> Result<(), ReplayError> {
        if !self.options.trees {
            return Ok(());
        }
        let list = |machine: &mut dyn Machine| machine.tree().map_err(|reason| ReplayError::Tree { step, reason });
        let mut listing = list(self.machine)?;
        if self.listing.as_ref() == Some(&listing) {
            return Ok(());
        }
        // What a command started may be writing yet.
        let deadline = Instant::now() + SETTLES_WITHIN;
        while Instant::now() < deadline {
            thread::sleep(SETTLED_FOR);
            let later = list(self.machine)?;
            if std::mem::replace(&mut listing, later) == listing {
                break;
            }
        }
        let tree = normalise_further(&listing, &mut self.tree_numbers);
        let renamed = self.tree.as_deref().map(|last| last != tree);
        if renamed.unwrap_or(!tree.is_empty()) {
            self.report.trees.push(TreeReport { after, tree: tree.clone() });
        }
        self.tree = Some(tree);
        self.listing = Some(listing);
        Ok(())
    }
}

fn source(expected: &Expected) -> String {
    match &expected.text {
        ExpectedText::Line(pattern) => pattern.source.clone(),
        ExpectedText::AnyLines => "...".into(),
    }
}
