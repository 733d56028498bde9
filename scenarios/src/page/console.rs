//! The lines of a console block: which are commands, which are options, which are output.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::error::Complaint;
use super::{DRIVERS, Expected, ExpectedText, Host, Keys, Pattern, Prompt, Step, StepOption, Targets};

/// `root@244860423e0a:/usr/local/apache2# ls`: the prompt most images' shells show.
static USER_AT_HOST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\S+@\S+[#$]) (.*)$").expect("a valid expression"));

/// Where in a step the next line falls.
#[derive(PartialEq)]
enum Place {
    BeforeFirst,
    Command,
    Options,
    Output,
}

/// Reads one block line by line.
pub(super) struct Console<'p> {
    known_targets: &'p [String],
    section: &'p str,
    host: Host,
    number: usize,
    place: Place,
    opened: Option<String>,
    steps: Vec<Step>,
}

impl<'p> Console<'p> {
    pub(super) fn new(
        known_targets: &'p [String],
        number: usize,
        section: &'p str,
        host: Host,
        opened: Option<String>,
    ) -> Self {
        Console { known_targets, section, host, number, place: Place::BeforeFirst, opened, steps: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Step>, Option<String>) {
        (self.steps, self.opened)
    }

    pub(super) fn line(&mut self, line: usize, content: &str) -> Result<(), Complaint> {
        let complain = |what: String| Complaint::new(line, what);
        let content = content.trim_end();
        let (targets, rest) = targets(content, self.known_targets).map_err(complain)?;
        if let Some(output) = rest.strip_prefix('\\') {
            return self.output(line, targets, Pattern::parse(output).map_err(complain)?);
        }
        if let Some((prompt, command)) = self.command(rest).map_err(complain)? {
            return self.step(line, targets, prompt, command);
        }
        if let Some(more) = rest.strip_prefix("> ").or((rest == ">").then_some(""))
            && self.place == Place::Command
        {
            return self.more(line, &targets, more);
        }
        if let Some(option) = rest.strip_prefix("? ") {
            return self.option(line, targets, option);
        }
        if rest == "..." {
            return self.expected(line, targets, ExpectedText::AnyLines);
        }
        self.output(line, targets, Pattern::parse(rest).map_err(complain)?)
    }

    /// The prompt and the command of a line that has them.
    fn command<'l>(&self, rest: &'l str) -> Result<Option<(Prompt, &'l str)>, String> {
        if rest == "#" || rest == "$" {
            return Err("a prompt without a command; write \\# if it is output".into());
        }
        if let Some(prompt) = &self.opened
            && let Some(command) = rest.strip_prefix(prompt.as_str()).and_then(|rest| rest.strip_prefix(' '))
        {
            return Ok(Some((Prompt::Session(Pattern::parse(prompt)?), command)));
        }
        if let Some(command) = rest.strip_prefix("# ").or(rest.strip_prefix("$ ")) {
            return Ok(Some((Prompt::Lab, command)));
        }
        match USER_AT_HOST.captures(rest) {
            Some(found) => {
                let (_, [prompt, command]) = found.extract();
                Ok(Some((Prompt::Session(Pattern::parse(prompt)?), command)))
            }
            None => Ok(None),
        }
    }

    fn step(&mut self, line: usize, targets: Targets, prompt: Prompt, command: &str) -> Result<(), Complaint> {
        let command = vec![typed(line, command)?];
        self.number += 1;
        self.place = Place::Command;
        self.steps.push(Step {
            number: self.number,
            line,
            section: self.section.to_owned(),
            host: self.host,
            targets,
            prompt,
            command,
            options: Vec::new(),
            expected: Vec::new(),
        });
        Ok(())
    }

    fn more(&mut self, line: usize, targets: &Targets, more: &str) -> Result<(), Complaint> {
        if *targets != Targets::default() {
            return Err(Complaint::new(
                line,
                "a command goes on for the targets of its first line: leave the @target out",
            ));
        }
        let more = typed(line, more)?;
        if let Some(step) = self.steps.last_mut() {
            step.command.push(more);
        }
        Ok(())
    }

    fn option(&mut self, line: usize, targets: Targets, words: &str) -> Result<(), Complaint> {
        let complain = |what: &str| Complaint::new(line, what);
        let step = self.steps.last_mut().ok_or_else(|| complain("an option before any command"))?;
        if self.place == Place::Output {
            return Err(complain(
                "an option after output: options stand right after their command; write \\? if it is output",
            ));
        }
        let option = option(words).map_err(|what| Complaint::new(line, what))?;
        if let StepOption::Opens(prompt) = &option {
            self.opened = Some(prompt.clone());
        }
        step.options.push((targets, option));
        self.place = Place::Options;
        Ok(())
    }

    fn output(&mut self, line: usize, targets: Targets, pattern: Pattern) -> Result<(), Complaint> {
        if pattern.source.is_empty() && self.place == Place::BeforeFirst {
            return Ok(());
        }
        self.expected(line, targets, ExpectedText::Line(pattern))
    }

    fn expected(&mut self, line: usize, targets: Targets, text: ExpectedText) -> Result<(), Complaint> {
        let step = self.steps.last_mut();
        let step =
            step.ok_or_else(|| Complaint::new(line, "output before any command: begin the block with `# command`"))?;
        step.expected.push((targets, Expected { line, text }));
        self.place = Place::Output;
        Ok(())
    }
}

fn typed(line: usize, command: &str) -> Result<Pattern, Complaint> {
    if command.contains(|c: char| c.is_control()) {
        return Err(Complaint::new(line, "a tab or control character would be taken as a key press, not as text"));
    }
    Pattern::parse(command).map_err(|what| Complaint::new(line, what))
}

/// Splits `@docker,podman rest`; without the prefix the line is for all targets.
pub(super) fn targets<'l>(content: &'l str, known: &[String]) -> Result<(Targets, &'l str), String> {
    let Some(prefixed) = content.strip_prefix('@') else { return Ok((Targets::default(), content)) };
    let (names, rest) = prefixed.split_once(' ').unwrap_or((prefixed, ""));
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(name) && !DRIVERS.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "'@{name}' names no target; this page knows {} (see `targets:` in its front matter), and the storage drivers {}; \
             write \\@ if it is output",
            known.join(", "),
            DRIVERS.join(", ")
        )),
        None => Ok((Targets::only(names), rest)),
    }
}

fn option(words: &str) -> Result<StepOption, String> {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("columns", "") => Ok(StepOption::Columns),
        ("unordered", "") => Ok(StepOption::Unordered),
        ("exit", code) => {
            let code = code.parse::<u8>().map_err(|_| format!("'? exit {code}': an exit code is 0 to 255"))?;
            Ok(StepOption::Exit(i32::from(code)))
        }
        ("timeout", limit) => {
            let seconds = limit.strip_suffix('s').and_then(|digits| digits.parse::<u64>().ok());
            let seconds =
                seconds.ok_or_else(|| format!("'? timeout {limit}': write seconds, as in `? timeout 60s`"))?;
            Ok(StepOption::Timeout(Duration::from_secs(seconds)))
        }
        ("keys", keys) => Keys::parse(keys).map(StepOption::Keys),
        ("opens", prompt) if !prompt.is_empty() => Ok(StepOption::Opens(prompt.to_owned())),
        _ => Err(format!(
            "no option '{words}'; there are exit N, columns, unordered, timeout Ns, keys KEYS and opens PROMPT; write \\? if it is output"
        )),
    }
}
