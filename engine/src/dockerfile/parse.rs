//! A Dockerfile's text as instructions: the crate `parse-dockerfile` finds them, and Docker's rules say what they mean.

use parse_dockerfile as grammar;

use super::empty::{self, NOTHING};
use super::refusal::{at, worded};
use super::setting::{Setting, healthcheck};
use super::words;

/// A whole Dockerfile.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// What escapes a character and, at the end of a line, the line's end.
    pub escape: char,
    /// Its instructions in order.
    pub steps: Vec<Step>,
}

/// One instruction and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As written, in one line.
    pub original: String,
    /// What it says.
    pub instruction: Instruction,
}

/// What an instruction says. Variables are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// The beginning of a stage.
    From {
        /// An image, a stage, or `scratch`.
        image: String,
        /// What the stage is called.
        stage: Option<String>,
        /// `os/architecture`.
        platform: Option<String>,
    },
    /// Names and defaults of build arguments.
    Arg(Vec<(String, Option<String>)>),
    /// Who made it.
    Maintainer(String),
    /// A command whose changes become a layer, and a flag that only BuildKit knows.
    Run(Command, Option<String>),
    /// Files from the context, a stage or an image.
    Transfer(Transfer),
    /// A change of settings.
    Setting(Setting),
}

/// A command, for the kernel or for a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The words of a JSON list.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// `COPY` or `ADD`.
    pub verb: &'static str,
    /// What is to be copied; wildcards are allowed.
    pub sources: Vec<String>,
    /// Where to; a directory when it ends in a slash.
    pub destination: String,
    /// `user:group` of the copies.
    pub owner: Option<String>,
    /// A stage, by name or number, or an image.
    pub from: Option<String>,
}

/// Reads a Dockerfile. The error is Docker's sentence.
pub fn parse(text: &str) -> Result<Dockerfile, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape_of(text);
    let text = empty::filled(text, escape);
    let text = text.as_ref();
    // The number of the line on which an instruction starts is that of the line before which it ends; Docker counts so.
    let mut steps = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let refused = |error: &grammar::Error| {
        let start = line_start(text, error.line());
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let original =
            if error.line() == 0 { first.unwrap_or_default().to_owned() } else { joined(&text[start..], escape) };
        worded(&format!("{error:#}"), error.line(), &original)
    };
    for instruction in grammar::parse_iter(text).map_err(|error| refused(&error))? {
        let instruction = instruction.map_err(|error| refused(&error))?;
        let start = keyword_start(&instruction);
        line += text[counted..start].matches('\n').count();
        counted = start;
        let original = joined(&text[start..], escape);
        let rest = original.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim()).to_owned();
        let instruction = read(instruction, &rest, escape).map_err(|refusal| refusal.worded(line))?;
        steps.push(Step { original: empty::emptied(original.trim()), instruction });
    }
    Ok(Dockerfile { escape, steps })
}

/// Reads a single instruction, as `commit --change` and `ONBUILD` have them. The error is Docker's sentence.
pub fn parse_one(text: &str) -> Result<Step, String> {
    let without_line = |error: String| match error.strip_prefix("dockerfile parse error line ") {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, reason)| reason).to_owned(),
        None => error.trim_start_matches("failed to parse Dockerfile: ").to_owned(),
    };
    let mut parsed = parse(&format!("FROM scratch\n{text}")).map_err(without_line)?;
    match (parsed.steps.len(), parsed.steps.pop()) {
        (2, Some(step)) => Ok(step),
        _ => Err("file with no instructions".to_owned()),
    }
}

/// Docker tells some mistakes with their line and some without.
enum Refusal {
    OnLine(String),
    Anywhere(String),
}

impl Refusal {
    fn worded(self, line: usize) -> String {
        match self {
            Refusal::OnLine(reason) => at(line, &reason),
            Refusal::Anywhere(reason) => format!("failed to parse Dockerfile: {reason}"),
        }
    }
}

/// Whether the words of an instruction may be a JSON list.
fn takes_list(instruction: &grammar::Instruction<'_>) -> bool {
    use grammar::Instruction as G;
    matches!(
        instruction,
        G::Run(_) | G::Copy(_) | G::Add(_) | G::Cmd(_) | G::Entrypoint(_) | G::Volume(_) | G::Shell(_)
    )
}

/// Whether `rest` begins, behind its flags, with a JSON list that holds something other than strings.
fn is_list_of_others(rest: &str) -> bool {
    let mut rest = rest.trim_start();
    while let Some((_, behind)) = rest.split_once(char::is_whitespace).filter(|_| rest.starts_with("--")) {
        rest = behind.trim_start();
    }
    let first = serde_json::Deserializer::from_str(rest).into_iter::<Vec<serde_json::Value>>().next();
    matches!(first, Some(Ok(list)) if list.iter().any(|item| !item.is_string()))
}

/// `rest` is what follows the instruction's name, in one line.
fn read(instruction: grammar::Instruction<'_>, rest: &str, escape: char) -> Result<Instruction, Refusal> {
    use grammar::Instruction as G;
    if takes_list(&instruction) && is_list_of_others(rest) {
        let reason = "when using JSON array syntax, arrays must be comprised of strings only";
        return Err(Refusal::Anywhere(reason.to_owned()));
    }
    let setting = |setting| Ok(Instruction::Setting(setting));
    match instruction {
        G::From(from) => {
            let [platform] = flags(&from.options, ["platform"])?;
            let stage = from.as_.map(|(_, name)| name.value.to_lowercase());
            if let Some(stage) = stage.as_ref().filter(|stage| !is_stage_name(stage)) {
                let reason = "name can't start with a number or contain symbols";
                return Err(Refusal::OnLine(format!("invalid name for build stage: {stage:?}, {reason}")));
            }
            Ok(Instruction::From { image: from.image.value.into_owned(), stage, platform })
        }
        G::Run(run) => {
            if !run.here_docs.is_empty() {
                return Err(here_document());
            }
            let flag = run.options.first().map(|flag| flag.name.value.to_string());
            if let Some(unknown) =
                flag.as_ref().filter(|flag| !["mount", "network", "security"].contains(&flag.as_str()))
            {
                return Err(Refusal::OnLine(format!("Unknown flag: {unknown}")));
            }
            Ok(Instruction::Run(command(run.arguments, escape), flag))
        }
        G::Copy(copy) => {
            let [owner, from] = flags(&copy.options, ["chown", "from"])?;
            // From nowhere is from the context.
            let from = from.filter(|from| !from.is_empty());
            transfer("COPY", copy.src.into_iter().collect(), copy.dest.value.into_owned(), owner, from)
        }
        G::Add(add) => {
            let [owner] = flags(&add.options, ["chown"])?;
            transfer("ADD", add.src.into_iter().collect(), add.dest.value.into_owned(), owner, None)
        }
        G::Arg(_) => {
            let pair = |word: String| match word.split_once('=') {
                Some(("", _)) => Err(Refusal::OnLine("ARG names can not be blank".to_owned())),
                Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
                None => Ok((word, None)),
            };
            Ok(Instruction::Arg(words::split(rest, escape).into_iter().map(pair).collect::<Result<_, _>>()?))
        }
        G::Maintainer(_) => Ok(Instruction::Maintainer(rest.to_owned())),
        G::Cmd(cmd) => setting(Setting::Cmd(command(cmd.arguments, escape))),
        G::Entrypoint(entrypoint) => setting(Setting::Entrypoint(command(entrypoint.arguments, escape))),
        G::Env(_) => setting(Setting::Env(pairs("ENV", rest, escape)?)),
        G::Label(_) => setting(Setting::Label(pairs("LABEL", rest, escape)?)),
        G::Expose(expose) => {
            let mut ports: Vec<String> = expose.arguments.into_iter().map(|port| port.value.into_owned()).collect();
            ports.sort();
            setting(Setting::Expose(ports))
        }
        G::Volume(volume) => {
            let paths: Vec<String> = match volume.arguments {
                grammar::JsonOrStringArray::Json(list) => owned(list.value),
                grammar::JsonOrStringArray::String(list) => owned(list),
            };
            match paths.iter().find(|path| path.is_empty()) {
                _ if paths.is_empty() => Err(Refusal::OnLine("VOLUME requires at least one argument".to_owned())),
                Some(_) => Err(Refusal::OnLine("VOLUME specified can not be an empty string".to_owned())),
                None => setting(Setting::Volume(paths)),
            }
        }
        G::User(_) => setting(Setting::User(rest.to_owned())),
        G::Workdir(_) => setting(Setting::WorkDir(rest.to_owned())),
        G::Stopsignal(_) => setting(Setting::StopSignal(rest.to_owned())),
        G::Shell(shell) => setting(Setting::Shell(owned(shell.arguments))),
        G::Onbuild(_) => {
            let name = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            match name.as_str() {
                "ONBUILD" => Err(Refusal::OnLine("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned())),
                "FROM" | "MAINTAINER" => Err(Refusal::OnLine(format!("{name} isn't allowed as an ONBUILD trigger"))),
                _ => setting(Setting::OnBuild(rest.to_owned())),
            }
        }
        G::Healthcheck(check) => {
            let names = ["interval", "timeout", "start-period", "retries"];
            let values = flags(&check.options, names)?;
            let test = match check.arguments {
                grammar::HealthcheckArguments::Cmd { arguments, .. } => Some(command(arguments, escape)),
                _ => None,
            };
            setting(Setting::HealthCheck(healthcheck(test, &values).map_err(Refusal::OnLine)?))
        }
        _ => Err(Refusal::OnLine("this instruction is not supported".to_owned())),
    }
}

fn here_document() -> Refusal {
    Refusal::OnLine(
        "here-documents (<<EOF) are BuildKit's, and this is the classic builder: write the lines with RUN printf, or COPY a file"
            .to_owned(),
    )
}

fn transfer(
    verb: &'static str,
    sources: Vec<grammar::Source<'_>>,
    destination: String,
    owner: Option<String>,
    from: Option<String>,
) -> Result<Instruction, Refusal> {
    let path = |source| match source {
        grammar::Source::Path(path) => Ok(path.value.into_owned()),
        _ => Err(here_document()),
    };
    let sources = sources.into_iter().map(path).collect::<Result<_, _>>()?;
    Ok(Instruction::Transfer(Transfer { verb, sources, destination, owner, from }))
}

fn command(command: grammar::Command<'_>, escape: char) -> Command {
    match command {
        grammar::Command::Exec(list) => {
            Command::Exec(owned(list.value).into_iter().filter(|word| word != NOTHING).collect())
        }
        grammar::Command::Shell(line) => Command::Shell(joined(line.value, escape).trim().replace(NOTHING, "")),
        _ => Command::Shell(String::new()),
    }
}

fn owned<'a>(list: impl IntoIterator<Item = grammar::UnescapedString<'a>>) -> Vec<String> {
    list.into_iter().map(|word| word.value.into_owned()).collect()
}

/// The values of the flags called `names`; other flags are refused.
fn flags<const N: usize>(given: &[grammar::Flag<'_>], names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut values = [const { None }; N];
    for flag in given {
        let name = flag.name.value.as_ref();
        let Some(place) = names.iter().position(|known| *known == name) else {
            return Err(Refusal::OnLine(format!("Unknown flag: {name}")));
        };
        let Some(value) = &flag.value else {
            return Err(Refusal::OnLine(format!("Missing a value on flag: {name}")));
        };
        if values[place].replace(value.value.to_string()).is_some() {
            return Err(Refusal::OnLine(format!("Duplicate flag specified: {name}")));
        }
    }
    Ok(values)
}

/// `A=1 B="two words"`, or the old form `A one value`. Quotes stay for the expansion.
fn pairs(name: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, Refusal> {
    let words = words::split(rest, escape);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Refusal::Anywhere(format!("{name} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim_start().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Refusal::OnLine(format!("{name} names can not be blank"))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => {
            Err(Refusal::Anywhere(format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")))
        }
    };
    words.into_iter().map(pair).collect()
}

fn is_stage_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || "-_.".contains(other))
}

/// The escape character that a comment at the very top may choose.
fn escape_of(text: &str) -> char {
    let directives = text.lines().map_while(|line| line.trim().strip_prefix('#')?.split_once('='));
    let chosen = directives.filter(|(name, _)| name.trim().eq_ignore_ascii_case("escape")).last();
    chosen.and_then(|(_, value)| value.trim().chars().next()).unwrap_or('\\')
}

/// The first instruction of `text` in one line: ends of lines that are escaped go, and so do comments and empty lines
/// between its lines.
pub(super) fn joined(text: &str, escape: char) -> String {
    let mut whole = String::new();
    for (number, line) in text.lines().enumerate() {
        if number > 0 && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) => whole.push_str(before),
            None => {
                whole.push_str(line);
                break;
            }
        }
    }
    whole
}

fn line_start(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

fn keyword_start(instruction: &grammar::Instruction<'_>) -> usize {
    use grammar::Instruction as G;
    match instruction {
        G::Add(i) => i.add.span.start,
        G::Arg(i) => i.arg.span.start,
        G::Cmd(i) => i.cmd.span.start,
        G::Copy(i) => i.copy.span.start,
        G::Entrypoint(i) => i.entrypoint.span.start,
        G::Env(i) => i.env.span.start,
        G::Expose(i) => i.expose.span.start,
        G::From(i) => i.from.span.start,
        G::Healthcheck(i) => i.healthcheck.span.start,
        G::Label(i) => i.label.span.start,
        G::Maintainer(i) => i.maintainer.span.start,
        G::Onbuild(i) => i.onbuild.span.start,
        G::Run(i) => i.run.span.start,
        G::Shell(i) => i.shell.span.start,
        G::Stopsignal(i) => i.stopsignal.span.start,
        G::User(i) => i.user.span.start,
        G::Volume(i) => i.volume.span.start,
        G::Workdir(i) => i.workdir.span.start,
        _ => 0,
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
