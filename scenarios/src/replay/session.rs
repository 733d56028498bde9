//! Types one command and waits for the prompt after it.

use std::time::{Duration, Instant};

use super::failure::Problem;
use crate::matcher::{Bindings, LineRules, Origin, match_line};
use crate::page::{Keys, Pattern, Prompt};
use crate::terminal::{Mark, Position, Terminal, TerminalError};

/// The shell's prompt for the rest of a command.
const CONTINUATION: &str = "> ";

/// What one command printed.
pub(super) struct Typed {
    pub(super) output: Vec<String>,
    /// Known when the lab's own shell shows its prompt again.
    pub(super) exit: Option<i32>,
    /// With what the next prompt has bound.
    pub(super) bindings: Bindings,
}

/// What went wrong, and what had been printed by then.
pub(super) struct Trouble {
    pub(super) problem: Problem,
    pub(super) output: Vec<String>,
}

/// The prompt a step has to end with.
pub(super) struct Awaited<'p> {
    /// The one the command is typed at.
    pub(super) typed_at: &'p Prompt,
    pub(super) prompt: &'p Prompt,
    pub(super) origin: Origin,
}

/// What a step puts into the terminal.
pub(super) enum Input<'s> {
    /// Lines of a command, each with Enter, then keys for the program it starts.
    Typed { lines: &'s [String], keys: &'s [Keys] },
    /// Keys at the prompt itself, without Enter and without an echo.
    Pressed(String),
}

/// Where output begins, and where the next prompt may stand.
struct Begun {
    output: Position,
    prompt_row: usize,
}

/// How a step's wait ended.
enum End {
    Marked(Mark),
    Session(Position, Bindings),
    Wrong(Problem, Position),
}

/// Waits for the lab's first prompt.
pub(super) fn first_prompt(terminal: &mut Terminal, timeout: Duration) -> Result<(), TerminalError> {
    terminal.wait(Instant::now() + timeout, lab_prompt).map(|_| ())
}

/// Everything on the screen, for reports.
pub(super) fn screen(terminal: &mut Terminal) -> Vec<String> {
    let end = terminal.cursor();
    terminal.lines(0, end)
}

/// Puts `input` in at the prompt that is on the screen and reads until `awaited` shows.
pub(super) fn type_command(
    terminal: &mut Terminal,
    input: &Input<'_>,
    awaited: &Awaited<'_>,
    bindings: &Bindings,
    timeout: Duration,
) -> Result<Typed, Trouble> {
    let deadline = Instant::now() + timeout;
    terminal.forget();
    let before = matches!(awaited.typed_at, Prompt::Session(_)).then(|| terminal.line_to_cursor());
    let begun = match input {
        Input::Typed { lines, keys } => {
            let row = type_lines(terminal, lines, deadline, timeout)?;
            press_keys(terminal, keys, row, deadline, timeout)?;
            Begun { output: Position { row, column: 0 }, prompt_row: row }
        }
        Input::Pressed(keys) => {
            let output = terminal.cursor();
            terminal.press(keys).map_err(|error| trouble(terminal, output.row, error, timeout, "the terminal"))?;
            Begun { output, prompt_row: output.row + 1 }
        }
    };
    let end =
        terminal.wait(deadline, |terminal| ended(terminal, awaited, bindings, before.as_deref(), begun.prompt_row));
    let what = format!("the prompt '{}'", awaited.prompt);
    let end = end.map_err(|error| trouble(terminal, begun.output.row, error, timeout, &what))?;
    if terminal.has_overflowed() {
        return Err(Trouble { problem: Problem::TooMuchOutput, output: Vec::new() });
    }
    match end {
        End::Marked(mark) => Ok(Typed {
            output: output(terminal, begun.output, mark.at),
            exit: Some(mark.exit),
            bindings: bindings.clone(),
        }),
        End::Session(at, bindings) => Ok(Typed { output: output(terminal, begun.output, at), exit: None, bindings }),
        End::Wrong(problem, at) => Err(Trouble { problem, output: output(terminal, begun.output, at) }),
    }
}

/// Types the lines of a command; gives the row on which output begins.
fn type_lines(
    terminal: &mut Terminal,
    lines: &[String],
    deadline: Instant,
    timeout: Duration,
) -> Result<usize, Trouble> {
    let mut start = terminal.cursor().row;
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            let continued = terminal.wait(deadline, |terminal| continuation(terminal, start));
            match continued.map_err(|error| {
                trouble(terminal, start, error, timeout, "the prompt '> ' for the rest of the command")
            })? {
                true => {}
                false => {
                    return Err(Trouble {
                        problem: Problem::CommandTooShort { line: lines[at - 1].clone() },
                        output: Vec::new(),
                    });
                }
            }
        }
        start = type_line(terminal, line, deadline)
            .map_err(|error| trouble(terminal, start, error, timeout, "the command's echo"))?;
    }
    Ok(start)
}

/// Presses each of `keys` once the program shows what they wait for.
fn press_keys(
    terminal: &mut Terminal,
    keys: &[Keys],
    start: usize,
    deadline: Instant,
    timeout: Duration,
) -> Result<(), Trouble> {
    for keys in keys {
        let shown = |terminal: &mut Terminal| match &keys.after {
            Some(after) => terminal.line_to_cursor().trim_end().ends_with(after.trim_end()),
            None => terminal.is_taken(),
        };
        let what = match &keys.after {
            Some(after) => format!("the text '{after}' that `? keys` waits for"),
            None => "a program that takes the whole screen, which `? keys` waits for".to_owned(),
        };
        // At the shell's own prompt the program is gone already.
        let waited = terminal.wait(deadline, |terminal| match shown(terminal) {
            true => Some(true),
            false => lab_prompt(terminal).map(|_| false),
        });
        match waited
            .and_then(|is_shown| if is_shown { terminal.press(&keys.pressed).map(|()| true) } else { Ok(false) })
        {
            Ok(true) => {}
            Ok(false) => {
                let end = terminal.cursor();
                return Err(Trouble {
                    problem: Problem::KeysTooLate { awaited: what },
                    output: terminal.lines(start, end),
                });
            }
            Err(error) => return Err(trouble(terminal, start, error, timeout, &what)),
        }
    }
    Ok(())
}

/// The lines between two places; one that begins in the middle of a row, behind a prompt, begins there.
fn output(terminal: &mut Terminal, from: Position, to: Position) -> Vec<String> {
    let mut lines = terminal.lines(from.row, to);
    if from.column > 0
        && let Some(first) = lines.first_mut()
    {
        *first = first.chars().skip(usize::from(from.column)).collect::<String>().trim_end().to_owned();
        if first.is_empty() {
            lines.remove(0);
        }
    }
    lines
}

/// Types a line, waits for its echo, presses Enter; gives the row on which output begins.
fn type_line(terminal: &mut Terminal, line: &str, deadline: Instant) -> Result<usize, TerminalError> {
    let whole = terminal.line_to_cursor() + line;
    let tail: String = line.chars().skip(line.chars().count().saturating_sub(20)).collect();
    terminal.type_text(line)?;
    terminal.wait(deadline, |terminal| is_echoed(&terminal.line_to_cursor(), &whole, &tail).then_some(()))?;
    let cursor = terminal.cursor();
    terminal.press_enter()?;
    // A line that fills its row to the end leaves the cursor on the next one already.
    Ok(if cursor.column == 0 { cursor.row } else { cursor.row + 1 })
}

/// Prompt and command stand there whole, or, where readline knows no terminal, scrolled sideways behind a `<`.
fn is_echoed(shown: &str, whole: &str, tail: &str) -> bool {
    shown.trim_end() == whole.trim_end() || (shown.starts_with('<') && shown.ends_with(tail))
}

/// Some(true) when the shell asks for more of the command, Some(false) when it has taken it as complete.
fn continuation(terminal: &mut Terminal, start: usize) -> Option<bool> {
    if lab_prompt(terminal).is_some() {
        return Some(false);
    }
    (terminal.cursor().row >= start && terminal.line_to_cursor() == CONTINUATION).then_some(true)
}

/// The mark of the lab's prompt, once the prompt stands behind it.
fn lab_prompt(terminal: &mut Terminal) -> Option<Mark> {
    let mark = terminal.mark()?;
    let line = terminal.line_to_cursor();
    let is_shown = terminal.cursor() > mark.at && (line.ends_with("# ") || line.ends_with("$ "));
    is_shown.then_some(mark)
}

fn ended(
    terminal: &mut Terminal,
    awaited: &Awaited<'_>,
    bindings: &Bindings,
    before: Option<&str>,
    start: usize,
) -> Option<End> {
    if terminal.is_taken() {
        return None;
    }
    let marked = lab_prompt(terminal);
    let at = Position { column: 0, ..terminal.cursor() };
    let line = terminal.line_to_cursor();
    let is_new = at.row >= start;
    match (awaited.prompt, marked) {
        (Prompt::Lab, Some(mark)) => Some(End::Marked(mark)),
        (Prompt::Session(_), Some(mark)) => Some(End::Wrong(
            Problem::Prompt { wanted: awaited.prompt.to_string(), found: line.trim_end().to_owned() },
            mark.at,
        )),
        (Prompt::Session(wanted), None) if is_new => session_end(&line, wanted, awaited.origin, bindings, at),
        _ => None,
    }
    .or_else(|| {
        // Some session asks for the next command, but not with the prompt the page goes on at.
        let is_stuck = is_new && marked.is_none() && (before == Some(line.as_str()) || looks_like_prompt(&line));
        let problem = Problem::Prompt { wanted: awaited.prompt.to_string(), found: line.trim_end().to_owned() };
        is_stuck.then_some(End::Wrong(problem, at))
    })
}

/// `user@host:/dir# `, alone on its line.
fn looks_like_prompt(line: &str) -> bool {
    let prompt = line.strip_suffix("# ").or(line.strip_suffix("$ "));
    prompt.is_some_and(|prompt| prompt.contains('@') && !prompt.contains(char::is_whitespace))
}

fn session_end(line: &str, wanted: &Pattern, origin: Origin, bindings: &Bindings, at: Position) -> Option<End> {
    let prompt = line.strip_suffix(' ')?;
    if let Some(bound) = match_line(wanted, prompt, LineRules::default(), bindings, origin) {
        return Some(End::Session(at, bound));
    }
    let shape = LineRules { ignore_names: true, ..LineRules::default() };
    let problem = || Problem::Prompt { wanted: wanted.source.clone(), found: prompt.to_owned() };
    match_line(wanted, prompt, shape, bindings, origin).map(|_| End::Wrong(problem(), at))
}

fn trouble(terminal: &mut Terminal, start: usize, error: TerminalError, timeout: Duration, awaited: &str) -> Trouble {
    let end = terminal.cursor();
    let output = terminal.lines(start, end);
    let awaited = awaited.to_owned();
    let problem = match error {
        TerminalError::TimedOut => Problem::TimedOut { awaited, timeout },
        TerminalError::Ended => Problem::ShellEnded { awaited },
        error => Problem::Terminal(error.to_string()),
    };
    Trouble { problem, output }
}
