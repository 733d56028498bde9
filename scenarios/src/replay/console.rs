//! Shows a replay on the console: one line a step, a summary at the end, a progress bar on a terminal. A quiet one shows
//! only what does not pass.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};

use super::Observer;
use super::failure::Failure;
use super::report::{PageReport, StepReport, StepStatus};
use crate::page::{Host, Page, Step};

/// Columns of a command before the tick; longer ones push it to the right.
const COMMAND_WIDTH: usize = 72;

/// Writes to `W`, with a progress bar if asked for.
pub struct ConsoleObserver<W: Write> {
    out: W,
    input: Box<dyn BufRead>,
    bar: Option<ProgressBar>,
    section: String,
    host: Host,
    set_up: usize,
    /// Of a quiet observer: what is shown once something fails.
    held: Option<Vec<String>>,
}

impl ConsoleObserver<io::Stdout> {
    /// Writes to standard output; the bar shows only if that is a terminal.
    pub fn new() -> Self {
        let out = io::stdout();
        let bar = out.is_terminal().then(|| ProgressBar::new(0));
        ConsoleObserver { bar, ..Self::plain(out) }
    }
}

impl Default for ConsoleObserver<io::Stdout> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write> ConsoleObserver<W> {
    /// Writes plain lines to `out`.
    pub fn plain(out: W) -> Self {
        let input = Box::new(io::BufReader::new(io::stdin()));
        ConsoleObserver { out, input, bar: None, section: String::new(), host: Host::First, set_up: 0, held: None }
    }

    /// Waits for Enter on `input` instead of standard input.
    pub fn reading(self, input: impl BufRead + 'static) -> Self {
        ConsoleObserver { input: Box::new(input), ..self }
    }

    /// Shows nothing of a page unless a step of it fails.
    pub fn quiet(self) -> Self {
        ConsoleObserver { held: Some(Vec::new()), ..self }
    }

    /// Shows what was held back, and holds back no more.
    pub fn speak(&mut self) {
        for line in self.held.take().unwrap_or_default() {
            self.print(&line);
        }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// A console that cannot be written to any more is no reason to stop.
    fn print(&mut self, line: &str) {
        if let Some(held) = &mut self.held {
            held.push(line.to_owned());
            return;
        }
        let out = &mut self.out;
        let mut write = || {
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn step_line(&mut self, step: &Step, sign: char, rest: &str) {
        if self.section != step.section {
            self.section.clone_from(&step.section);
            self.print(&format!("\n{}", step.section));
        }
        if self.host != step.host {
            self.host = step.host;
            self.print(&format!("      on the host {} ({})", step.host.address(), step.host.name()));
        }
        let typed = format!("{} {}", step.prompt, step.command_text().replace('\n', " ⏎ "));
        self.print(&format!("{:>4}  {typed:<COMMAND_WIDTH$}  {sign} {rest}", step.number));
    }
}

impl<W: Write> Observer for ConsoleObserver<W> {
    fn page_started(&mut self, page: &Page, target: &str, steps: usize) {
        self.print(&format!("{} on {target}: {}", page.path.display(), page.title));
        if let Some(bar) = &self.bar {
            bar.set_length(steps as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
        }
    }

    fn setting_up(&mut self, count: usize) {
        self.set_up = count;
        if count > 0 {
            self.print(&format!("the {count} steps before it are typed first, as set-up, and not shown"));
        }
    }

    fn step_started(&mut self, step: &Step) {
        if let Some(bar) = &self.bar {
            bar.set_message(step.command_text());
            bar.tick();
        }
    }

    fn step_passed(&mut self, step: &Step, report: &StepReport) {
        self.step_line(step, '✓', &format!("{} ms", report.duration.as_millis()));
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn step_failed(&mut self, step: &Step, failure: &Failure) {
        self.speak();
        self.step_line(step, '✗', "");
        self.print(&format!("\n{failure}\n"));
    }

    fn pause(&mut self, _step: &Step) -> ControlFlow<()> {
        self.print("      Enter goes on");
        let input = &mut self.input;
        let mut wait = || input.read_line(&mut String::new());
        let read = match &self.bar {
            Some(bar) => bar.suspend(wait),
            None => wait(),
        };
        match read {
            Ok(1..) => ControlFlow::Continue(()),
            Ok(0) => ControlFlow::Break(()),
            Err(error) => {
                self.print(&format!("      cannot wait for Enter: {error}"));
                ControlFlow::Break(())
            }
        }
    }

    fn page_ended(&mut self, report: &PageReport) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let passed = report.count(StepStatus::Passed);
        let not_run = report.count(StepStatus::NotRun);
        let summary = match (&report.failure, report.stopped) {
            (None, Some(step)) => format!("stopped after step {step}, {passed} passed, {not_run} not run"),
            (None, None) if self.set_up > 0 => {
                format!("{} step passed, after {} as set-up", passed - self.set_up, self.set_up)
            }
            (None, None) => format!("{passed} step{} passed", if passed == 1 { "" } else { "s" }),
            (Some(failure), _) => format!("step {} failed, {passed} passed, {not_run} not run", failure.step),
        };
        self.print(&format!("\n{summary}"));
    }
}
