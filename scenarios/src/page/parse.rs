//! From Markdown text to a page: finds front matter, headings and fenced blocks, each with its line.

use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use super::console::Console;
use super::error::{Complaint, PageError};
use super::front::Front;
use super::names::Names;
use super::{Arrangement, Directive, Host, Item, Page, Prompt, Step, StepOption, Targets, fence};

/// A fenced block while its text is being gathered: what it is and its lines.
struct Block {
    info: String,
    line: usize,
    lines: Vec<(usize, String)>,
}

pub(super) fn page(path: PathBuf, text: &str) -> Result<Page, PageError> {
    match gather(text) {
        Ok((front, title, items, model_steps)) => Ok(Page {
            path,
            title,
            source: front.source,
            targets: front.targets,
            has_users: front.has_users,
            needs_root: front.needs_root,
            drivers: front.drivers,
            origin: front.origin,
            items,
            model_steps,
        }),
        Err(Complaint { line, what }) => Err(PageError::Line { path, line, what }),
    }
}

/// A page without its path: front matter, title, items, and the lines of `steps` blocks.
type Parts = (Front, String, Vec<Item>, Vec<(usize, String)>);

/// What the events have told so far.
#[derive(Default)]
struct Gathered {
    front: Front,
    title: Option<String>,
    section: String,
    items: Vec<Item>,
    names: Names,
    steps: usize,
    model_steps: Vec<(usize, String)>,
    host: Host,
    /// The prompt that the last `? opens` gave.
    opened: Option<String>,
}

fn gather(text: &str) -> Result<Parts, Complaint> {
    fence::check(text)?;
    let line_at = |offset: usize| 1 + text[..offset].bytes().filter(|byte| *byte == b'\n').count();
    let mut gathered = Gathered::default();
    let mut heading: Option<(HeadingLevel, String)> = None;
    let mut metadata = false;
    let mut block: Option<Block> = None;
    let parser = Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS).into_offset_iter();
    for (event, range) in parser {
        match event {
            Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => metadata = true,
            Event::End(TagEnd::MetadataBlock(_)) => metadata = false,
            Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
            Event::End(TagEnd::Heading(_)) => {
                if let Some((level, words)) = heading.take() {
                    gathered.heading(level, words, line_at(range.start))?;
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                block = Some(Block { info: info.trim().to_owned(), line: line_at(range.start), lines: Vec::new() });
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some(block) = block.take() {
                    gathered.block(block)?;
                }
            }
            Event::Text(words) | Event::Code(words) => {
                if metadata {
                    gathered.front.take(&words, line_at(range.start))?;
                } else if let Some((_, heading)) = &mut heading {
                    heading.push_str(&words);
                } else if let Some(block) = &mut block {
                    block.lines.extend((line_at(range.start)..).zip(words.lines().map(str::to_owned)));
                }
            }
            _ => {}
        }
    }
    let title = gathered.title.ok_or_else(|| Complaint::new(1, "a page begins with its title: write `# Title`"))?;
    if gathered.steps == 0 && gathered.model_steps.is_empty() {
        return Err(Complaint::new(1, "the page has no step: write a ```console block with a line `# command`"));
    }
    for target in &gathered.front.targets {
        check_exits(target, Host::First, &gathered.items)?;
        check_exits(target, Host::Second, &gathered.items)?;
    }
    Ok((gathered.front, title, gathered.items, gathered.model_steps))
}

/// Refuses `? exit` where nothing tells an exit code: after a step at whose end a session's prompt shows.
fn check_exits(target: &str, host: Host, items: &[Item]) -> Result<(), Complaint> {
    let all = items.iter().filter_map(|item| if let Item::Step(step) = item { Some(step) } else { None });
    let steps: Vec<&Step> = all.filter(|step| step.host == host && step.targets.hold_for(target)).collect();
    let asks = |step: &Step| {
        let mut options = step.options.iter().filter(|(targets, _)| targets.hold_for(target));
        options.any(|(_, option)| matches!(option, StepOption::Exit(_)))
    };
    match steps.windows(2).find(|pair| asks(pair[0]) && matches!(pair[1].prompt, Prompt::Session(_))) {
        Some(pair) => Err(Complaint::new(
            pair[0].line,
            "`? exit` cannot be checked, since a session goes on after this step and tells no exit code: leave it out, or \
             type `echo $?` as the next step",
        )),
        None => Ok(()),
    }
}

impl Gathered {
    fn heading(&mut self, level: HeadingLevel, words: String, line: usize) -> Result<(), Complaint> {
        if level == HeadingLevel::H1 && self.title.replace(words.clone()).is_some() {
            return Err(Complaint::new(line, "a page has one title; use `##` for its sections"));
        }
        self.section = words;
        Ok(())
    }

    fn block(&mut self, block: Block) -> Result<(), Complaint> {
        match block.info.as_str() {
            "console" => self.console(block),
            "lab" => self.lab(block),
            "steps" => {
                self.model_steps.extend(block.lines.into_iter().filter(|(_, line)| !line.trim().is_empty()));
                Ok(())
            }
            "text" => Ok(()),
            other => Err(Complaint::new(
                block.line,
                format!(
                    "a block of '{other}': there are console, lab, steps (for the laws) and text (for what is not to be run)"
                ),
            )),
        }
    }

    fn console(&mut self, block: Block) -> Result<(), Complaint> {
        let mut console = Console::new(&self.front.targets, self.steps, &self.section, self.host, self.opened.take());
        for (line, content) in &block.lines {
            console.line(*line, content)?;
        }
        let (steps, opened) = console.finish();
        self.opened = opened;
        for step in steps {
            self.check_names(&step)?;
            self.steps = step.number;
            self.items.push(Item::Step(step));
        }
        Ok(())
    }

    fn check_names(&mut self, step: &Step) -> Result<(), Complaint> {
        if let Prompt::Session(prompt) = &step.prompt {
            self.names.expect(step.line, prompt)?;
        }
        for pattern in &step.command {
            self.names.demand(step.line, pattern)?;
        }
        for (_, expected) in &step.expected {
            if let super::ExpectedText::Line(pattern) = &expected.text {
                self.names.expect(expected.line, pattern)?;
            }
        }
        Ok(())
    }

    fn lab(&mut self, block: Block) -> Result<(), Complaint> {
        for (line, content) in &block.lines {
            let (targets, text) = super::console::targets(content.trim(), &self.front.targets)
                .map_err(|what| Complaint::new(*line, what))?;
            if !text.is_empty() {
                let arrangement = Arrangement::parse(text).map_err(|what| Complaint::new(*line, what))?;
                if let Arrangement::Host(host) = arrangement {
                    if targets != Targets::default() {
                        return Err(Complaint::new(
                            *line,
                            "a page changes hosts for all targets: leave the @target out",
                        ));
                    }
                    self.host = host;
                    self.opened = None;
                }
                self.items.push(Item::Arrange(Directive { line: *line, targets, arrangement }));
            }
        }
        Ok(())
    }
}
