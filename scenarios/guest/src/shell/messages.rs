//! GNU bash's error messages: `bash: foo: command not found`, `./script: line 3: foo: command not found`.

use crate::applets::basename;
use crate::say;
use brush_core::extensions::ErrorFormatter;
use brush_core::parser::ParseError;
use brush_core::{Error, ErrorKind, ShellExtensions};
use std::sync::OnceLock;

static CALLED: OnceLock<(String, bool)> = OnceLock::new();

/// Keeps how the shell was called, for the prefix of its messages.
pub fn remember(invoked_as: &str, interactive: bool) {
    let _ = CALLED.set((invoked_as.to_owned(), interactive));
}

/// brush's errors in bash's words.
#[derive(Clone, Default)]
pub struct BashMessages;

impl ErrorFormatter for BashMessages {
    fn format_error(&self, error: &Error, shell: &brush_core::Shell<impl ShellExtensions>) -> String {
        format!("{}{}\n", prefix(shell), words(error.kind()))
    }
}

/// `bash: ` for a person, `NAME: line N: ` in scripts.
pub fn prefix(shell: &brush_core::Shell<impl ShellExtensions>) -> String {
    let line = shell.call_stack().iter().find_map(brush_core::callstack::Frame::current_line).unwrap_or(1);
    prefix_at(shell, line)
}

/// The same for a line that is not the current command's.
pub fn prefix_at(shell: &brush_core::Shell<impl ShellExtensions>, line: usize) -> String {
    if let Some((name, true)) = CALLED.get() {
        return format!("{}: ", if name.starts_with('-') { name } else { basename(name) });
    }
    let sourced = shell.call_stack().iter().find(|frame| frame.frame_type.is_sourced_script());
    let name = match sourced {
        Some(frame) => frame.frame_type.name().into_owned(),
        None => shell.current_shell_name().map_or_else(|| "bash".to_owned(), std::borrow::Cow::into_owned),
    };
    format!("{name}: line {line}: ")
}

fn words(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::CommandNotFound(name) if name.contains('/') => format!("{name}: No such file or directory"),
        ErrorKind::CommandNotFound(name) => format!("{name}: command not found"),
        ErrorKind::FailedToExecuteCommand(name, _) if std::path::Path::new(name).is_dir() => {
            format!("{name}: Is a directory")
        }
        ErrorKind::FailedToExecuteCommand(name, error) => format!("{name}: {}", say::reason(error)),
        ErrorKind::FailedSourcingFile(path, error) => format!("{}: {}", path.display(), say::reason(error)),
        ErrorKind::RedirectionFailure(path, why) => format!("{path}: {}", without_number(why)),
        ErrorKind::ExpandingUnsetVariable(name) => {
            let bare = name.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')).unwrap_or(name);
            format!("{bare}: unbound variable")
        }
        ErrorKind::CheckedExpansionError(text) => text.clone(),
        ErrorKind::BadSubstitution(text) => format!("{text}: bad substitution"),
        ErrorKind::BuiltinNotFound(name) => format!("{name}: not a shell builtin"),
        ErrorKind::FunctionNotFound(name) => format!("{name}: not a function"),
        ErrorKind::ReadonlyVariable => "readonly variable".to_owned(),
        ErrorKind::NotADirectory(path) => format!("{}: Not a directory", path.display()),
        ErrorKind::WorkingDirMissing(path) => format!("{}: No such file or directory", path.display()),
        ErrorKind::IoError(error) => say::reason(error),
        ErrorKind::BuiltinError(inner, name) => format!("{name}: {}", builtin_words(&inner.to_string())),
        ErrorKind::ParseError(error, _) => syntax(error, None),
        other => other.to_string(),
    }
}

fn builtin_words(text: &str) -> String {
    without_number(text.strip_prefix("i/o error: ").unwrap_or(text)).to_owned()
}

fn without_number(text: &str) -> &str {
    text.find(" (os error ").map_or(text, |at| &text[..at])
}

/// A syntax error; with the text at hand bash names the token it stumbled over.
pub fn syntax(error: &ParseError, text: Option<&str>) -> String {
    match error {
        ParseError::ParsingAtEndOfInput => "syntax error: unexpected end of file".to_owned(),
        ParseError::ParsingNear(position) => {
            let token = text
                .and_then(|text| text.lines().nth(position.line.saturating_sub(1)))
                .map(|line| line.chars().skip(position.column.saturating_sub(1)).collect::<String>())
                .and_then(|rest| token(&rest));
            match token {
                Some(token) => format!("syntax error near unexpected token `{token}'"),
                None => "syntax error near unexpected token `newline'".to_owned(),
            }
        }
        other => {
            let text = other.to_string();
            match text.split_once(" quote at ") {
                Some((kind, _)) => {
                    let quote = if kind.contains("single") { '\'' } else { '"' };
                    format!("unexpected EOF while looking for matching `{quote}'")
                }
                None => format!("syntax error: {text}"),
            }
        }
    }
}

fn token(rest: &str) -> Option<String> {
    let rest = rest.trim_start();
    for operator in ["&&", "||", ";;", "<<", ">>", "(", ")", ";", "&", "|", "<", ">", "{", "}"] {
        if rest.starts_with(operator) {
            return Some(operator.to_owned());
        }
    }
    rest.split([' ', '\t', ';', '&', '|', '(', ')']).next().filter(|word| !word.is_empty()).map(str::to_owned)
}
