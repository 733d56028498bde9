//! A page: a Markdown walkthrough whose console blocks are typed into a terminal and whose output must come.
//!
//! *Why*: a tutorial that nobody runs rots; a page is the tutorial and its test in one file.
//! *Holds*: every line of every console block is either a command, an option of a command, or output that must come.
//! *Never*: a line the parser does not understand is never passed over; the error names file and line.
//! *Proved by*: `scenarios/tests/page.rs`.
//!
//! # The format
//! A page may open with a front matter between `---` lines (`source:`, `targets:` and `driver:`, lists separated
//! by commas (the first driver is the default, and without any it is overlay2), `users: several` where other users than root own something,
//! `users: root` where only root of the machine may do it, `checklist:`, which behaviours of `scenarios/checklist.toml` it checks, and `law:`, `subject:`, `seed:`, `kernel:` where the laws wrote it), then
//! comes `# Title`. Fenced blocks are `console` (commands and output), `lab` (directives to the machine, one a line: [`Arrangement`]),
//! `steps` (what the laws replay on a storage driver, the simulator on its model) and `text` (prose); an indented block, a fence inside HTML and a block without an end are refused. In a console block:
//!
//! | line | meaning |
//! |---|---|
//! | `# cmd`, `$ cmd` | a step: `cmd` is typed at the lab's own prompt |
//! | `user@host:/dir# cmd` | a step typed in the session that the step before it opened |
//! | `> more` right after a command | the command goes on |
//! | `? exit 1` after the command | the exit code that must come (else 0); only the lab's own shell tells it, so it is refused before a step in a session |
//! | `? columns` | a run of two or more blanks stands for any run of two or more blanks |
//! | `? unordered` | the lines come in any order |
//! | `? timeout 60s` | how long the step may take |
//! | `? keys iText^[:wq^M` | keys pressed once the program of the step has taken the whole screen, as editors do: text, and `^X` for control keys (`^[` is Esc, `^M` Enter, `^?` backspace; `\^` is a caret) |
//! | `? keys "[Y/n]" y^M` | keys pressed once the line with the cursor ends with the quoted text; several `? keys` come one after another |
//! | a command of only control keys, `^P^Q` | the keys are pressed at the prompt, without Enter |
//! | `? opens / #` | the step opens a session with this prompt; lines that begin with it are steps |
//! | `...` | any number of lines, also none |
//! | `@docker line` | the line (of any kind) holds for this target only; `@a,b ` for two; `@vfs`, `@a,b,vfs `: with this storage driver only |
//! | `\line` | the line is output, whatever it begins with |
//! | anything else | output, literal but for placeholders ([`pattern`]) |
//!
//! Blank lines before the next command and blanks at the end of a line do not count.

mod arrangement;
mod console;
mod error;
mod fence;
mod front;
mod keys;
mod names;
mod parse;
pub mod pattern;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use arrangement::{Arrangement, Guard, Host, Mood};
pub use error::PageError;
use front::DOCKER;
pub use front::{DRIVERS, TARGETS, driver};
pub use keys::Keys;
pub use pattern::{Kind, Pattern, Token};

/// One walkthrough, parsed.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where the page was read from, as given; reports name it.
    pub path: PathBuf,
    /// The first heading.
    pub title: String,
    /// File name of the document the page retells, if any.
    pub source: Option<String>,
    /// The targets whose words the page knows; a `@target` prefix must name one of them.
    pub targets: Vec<String>,
    /// Whether the page gives files or processes to other users than root, which a lab with a single ID cannot.
    pub has_users: bool,
    /// Whether the page does what only root of the machine may, such as making device files.
    pub needs_root: bool,
    /// The storage drivers the page is about, the default first; empty when it is about none in particular.
    pub drivers: Vec<&'static str>,
    /// Where a page comes from that laws wrote: its `law`, `subject`, `seed` and `kernel`.
    pub origin: BTreeMap<&'static str, String>,
    /// Directives and steps in page order.
    pub items: Vec<Item>,
    /// Lines of `steps` blocks, each with its line of the page: what laws and simulator replay, in their own words.
    pub model_steps: Vec<(usize, String)>,
}

/// What happens next on a page.
#[derive(Debug, Clone)]
pub enum Item {
    /// One line of a `lab` block.
    Arrange(Directive),
    /// One command with what must come of it.
    Step(Step),
}

/// A line of a `lab` block.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Line of the page, from 1.
    pub line: usize,
    /// Whom the directive is for.
    pub targets: Targets,
    /// What the machine is to do.
    pub arrangement: Arrangement,
}

/// One command typed into the terminal and what must come of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// From 1, counted over all targets, so that a number means the same step everywhere.
    pub number: usize,
    /// Line of the command, from 1.
    pub line: usize,
    /// The heading the step stands under.
    pub section: String,
    /// The host the step is typed on.
    pub host: Host,
    /// Which targets the step is typed on.
    pub targets: Targets,
    /// The prompt that must show before the command is typed.
    pub prompt: Prompt,
    /// The command's lines; all but the last are followed by the shell's `> `.
    pub command: Vec<Pattern>,
    /// Option lines with the targets they hold for.
    pub options: Vec<(Targets, StepOption)>,
    /// Expected lines with the targets they hold for.
    pub expected: Vec<(Targets, Expected)>,
}

/// The prompt in front of a command.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// The lab's own shell (`# ` or `$ `), known by its OSC 133 mark.
    Lab,
    /// A prompt inside a session, known by its text (without the blank at its end).
    Session(Pattern),
}

/// What an option line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOption {
    /// The exit code that must come.
    Exit(i32),
    /// Widths of columns do not count.
    Columns,
    /// Order of lines does not count.
    Unordered,
    /// Longest time the step may take.
    Timeout(Duration),
    /// Keys the program of the step waits for.
    Keys(Keys),
    /// The step opens a session with this prompt.
    Opens(String),
}

/// One expected line.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Line of the page, from 1.
    pub line: usize,
    /// What must stand there.
    pub text: ExpectedText,
}

/// What an expected line stands for.
#[derive(Debug, Clone)]
pub enum ExpectedText {
    /// Exactly one line.
    Line(Pattern),
    /// `...`: any number of lines.
    AnyLines,
}

/// The targets and the storage drivers something holds for; none named means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    targets: Vec<String>,
    drivers: Vec<String>,
}

impl Targets {
    /// Only these, of targets or of drivers.
    pub fn only(names: Vec<String>) -> Self {
        let (drivers, targets) = names.into_iter().partition(|name| DRIVERS.contains(&name.as_str()));
        Targets { targets, drivers }
    }

    /// The names of targets; none when all are meant.
    pub fn names(&self) -> &[String] {
        &self.targets
    }

    /// Whether `target` is meant.
    pub fn hold_for(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| name == target)
    }

    fn hold_on(&self, driver: &str) -> bool {
        self.drivers.is_empty() || self.drivers.iter().any(|name| name == driver)
    }
}

/// The options of one step on one target, with their defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRules {
    /// The exit code that must come.
    pub exit: i32,
    /// `? columns`.
    pub columns: bool,
    /// `? unordered`.
    pub unordered: bool,
    /// `? timeout`, if the page gives one.
    pub timeout: Option<Duration>,
    /// `? keys`, in order.
    pub keys: Vec<Keys>,
}

impl Page {
    /// Reads and parses the page at `path`.
    pub fn read(path: impl Into<PathBuf>) -> Result<Page, PageError> {
        let path = path.into();
        match std::fs::read_to_string(&path) {
            Ok(text) => Page::parse(path, &text),
            Err(source) => Err(PageError::Read { path, source }),
        }
    }

    /// Parses `text`; `path` is only named in errors and reports.
    pub fn parse(path: impl Into<PathBuf>, text: &str) -> Result<Page, PageError> {
        parse::page(path.into(), text)
    }

    /// The name a page is called by: its file name without `.md`.
    pub fn name(&self) -> String {
        self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The storage driver to run with when `wanted` is asked for: the page's own, if it is not about the wanted one.
    pub fn driver(&self, wanted: Option<&'static str>) -> &'static str {
        let own = self.drivers.first().copied();
        wanted.filter(|wanted| own.is_none() || self.drivers.contains(wanted)).or(own).unwrap_or(DRIVERS[0])
    }

    /// What of the page holds with this storage driver; steps keep their numbers.
    pub fn on(&self, driver: &str) -> Page {
        let mut page = self.clone();
        page.items.retain_mut(|item| match item {
            Item::Arrange(directive) => directive.targets.hold_on(driver),
            Item::Step(step) => {
                step.options.retain(|(targets, _)| targets.hold_on(driver));
                step.expected.retain(|(targets, _)| targets.hold_on(driver));
                step.targets.hold_on(driver)
            }
        });
        page
    }

    /// Whether the page goes on to the second host.
    pub fn has_second_host(&self) -> bool {
        let goes_there = |item: &Item| match item {
            Item::Arrange(directive) => directive.arrangement == Arrangement::Host(Host::Second),
            Item::Step(_) => false,
        };
        self.items.iter().any(goes_there)
    }

    /// How `target` is unlike real Docker on this page (docker itself: unlike our engine).
    pub fn differences(&self, target: &str) -> Differences {
        let unlike = if target == DOCKER { TARGETS[0] } else { DOCKER };
        let (typed, others): (Vec<&Step>, Vec<&Step>) = self.steps().partition(|step| step.targets.hold_for(target));
        let marked = typed.iter().filter(|step| step.differs(target, unlike)).count();
        let left_out = others.iter().filter(|step| step.targets.hold_for(unlike)).count();
        Differences { unlike, marked, left_out }
    }

    /// All steps in page order, of every target.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.items.iter().filter_map(|item| match item {
            Item::Step(step) => Some(step),
            Item::Arrange(_) => None,
        })
    }
}

/// How many steps of a page are not the same on two targets, as one of them sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    /// The target that this one is compared with.
    pub unlike: &'static str,
    /// Steps typed here of which the command, an option or an expected line is for one of the two only.
    pub marked: usize,
    /// Steps that are typed there only.
    pub left_out: usize,
}

impl Step {
    /// Whether some part of the step is for one of the two targets only.
    fn differs(&self, target: &str, other: &str) -> bool {
        let options = self.options.iter().map(|(targets, _)| targets);
        let expected = self.expected.iter().map(|(targets, _)| targets);
        let mut parts = [&self.targets].into_iter().chain(options).chain(expected);
        parts.any(|part| part.hold_for(target) != part.hold_for(other))
    }

    /// What the options say for `target`.
    pub fn rules(&self, target: &str) -> StepRules {
        let mut rules = StepRules { exit: 0, columns: false, unordered: false, timeout: None, keys: Vec::new() };
        for (targets, option) in &self.options {
            if !targets.hold_for(target) {
                continue;
            }
            match option {
                StepOption::Exit(code) => rules.exit = *code,
                StepOption::Columns => rules.columns = true,
                StepOption::Unordered => rules.unordered = true,
                StepOption::Timeout(limit) => rules.timeout = Some(*limit),
                StepOption::Keys(keys) => rules.keys.push(keys.clone()),
                StepOption::Opens(_) => {}
            }
        }
        rules
    }

    /// The lines that must come on `target`; blank ones at the end do not count.
    pub fn expected_for(&self, target: &str) -> Vec<Expected> {
        let held = self.expected.iter().filter(|(targets, _)| targets.hold_for(target));
        let mut lines: Vec<Expected> = held.map(|(_, expected)| expected.clone()).collect();
        while lines.last().is_some_and(Expected::is_blank) {
            lines.pop();
        }
        lines
    }

    /// What is pressed instead of typed, where the command is only control keys.
    pub fn pressed(&self) -> Option<String> {
        match self.command.as_slice() {
            [line] => keys::of_command(&line.source),
            _ => None,
        }
    }

    /// The command as the page writes it, on one line.
    pub fn command_text(&self) -> String {
        self.command.iter().map(|line| line.source.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Expected {
    fn is_blank(&self) -> bool {
        matches!(&self.text, ExpectedText::Line(pattern) if pattern.source.is_empty())
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prompt::Lab => f.write_str("#"),
            Prompt::Session(pattern) => f.write_str(&pattern.source),
        }
    }
}
