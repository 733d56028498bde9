//! The read-and-run loop shared by scripts, `-c` and people: complete commands one at a time, as bash reads them.

use super::input::{Input, Line};
use super::{Shell, builtins, messages, signals};
use brush_core::callstack::CallStack;
use brush_core::env::EnvironmentScope;
use brush_core::parser::ParseError;
use brush_core::parser::ast::Program;
use brush_core::{ExecutionControlFlow, SourceInfo};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

pub struct Session {
    pub shell: Shell,
    pub input: Input,
    pub interactive: bool,
    pub login: bool,
    pub lines_read: usize,
}

enum Read {
    Command(String, Program),
    SyntaxError(String, ParseError),
    Interrupted,
    End,
}

impl Session {
    /// Runs to the end of the input or to `exit`; gives the exit status.
    pub async fn run(mut self) -> u8 {
        if self.interactive {
            let _ = self.shell.start_interactive_session();
            builtins::install_hook(&mut self.shell);
        } else {
            self.shell.start_command_string_mode();
        }
        loop {
            if self.interactive {
                self.before_prompt().await;
            }
            match self.read().await {
                Read::End => break,
                Read::Interrupted => {
                    error_line!("");
                    self.shell.set_last_exit_status(130);
                }
                Read::SyntaxError(text, error) => {
                    self.report_syntax_error(&text, &error);
                    self.shell.set_last_exit_status(2);
                    self.count_lines(&text);
                    if !self.interactive {
                        break;
                    }
                }
                Read::Command(text, program) => {
                    let leaves = self.execute(&text, program).await;
                    self.count_lines(&text);
                    if leaves {
                        break;
                    }
                }
            }
            if builtins::deliver(&mut self.shell).await {
                break;
            }
        }
        self.leave().await
    }

    async fn before_prompt(&mut self) {
        let _ = self.shell.check_for_completed_jobs();
        if let Some(command) = self.shell.env_str("PROMPT_COMMAND").map(|value| value.into_owned()) {
            let status = self.shell.last_exit_status();
            let parameters = self.shell.default_exec_params();
            let _ = self.shell.run_string(command, &SourceInfo::from("PROMPT_COMMAND"), &parameters).await;
            self.shell.set_last_exit_status(status);
        }
    }

    /// Reads lines until they parse as complete commands, prompting before each line when a person types.
    async fn read(&mut self) -> Read {
        let mut text = String::new();
        loop {
            let prompt = if self.interactive { self.prompt(text.is_empty()).await } else { String::new() };
            match self.input.line(&prompt) {
                Line::Interrupted => return Read::Interrupted,
                Line::Text(line) => text.push_str(&line),
                Line::End if text.is_empty() => return Read::End,
                Line::End => {
                    return match self.shell.parse_string(text.clone()) {
                        Ok(program) => Read::Command(text, program),
                        Err(error) => Read::SyntaxError(text, error),
                    };
                }
            }
            if continues(&text) {
                continue;
            }
            match self.shell.parse_string(text.clone()) {
                Ok(program) => return Read::Command(text, program),
                Err(error) if incomplete(&error) => {}
                Err(error) => return Read::SyntaxError(text, error),
            }
        }
    }

    /// Writes the prompt; gives what stands before the line that will be typed.
    async fn prompt(&mut self, first: bool) -> String {
        let composed = if first { self.compose_prompt().await } else { self.shell.compose_continuation_prompt().await };
        let prompt = composed.unwrap_or_default();
        let mut stderr = std::io::stderr();
        let _ = stderr.write_all(prompt.as_bytes());
        let _ = stderr.flush();
        prompt.rsplit('\n').next().unwrap_or_default().to_owned()
    }

    /// PS1; a user without a passwd entry is called as bash calls them.
    async fn compose_prompt(&mut self) -> Result<String, brush_core::Error> {
        match self.shell.compose_prompt().await {
            Ok(prompt) => Ok(prompt),
            Err(_) => {
                let template = self.shell.env_str("PS1").map_or_else(String::new, |value| value.into_owned());
                let named = template.replace(r"\u", "I have no name!");
                self.shell.env_mut().set_global("PS1", brush_core::ShellVariable::new(named))?;
                let prompt = self.shell.compose_prompt().await;
                self.shell.env_mut().set_global("PS1", brush_core::ShellVariable::new(template))?;
                prompt
            }
        }
    }

    /// Runs one parsed input; true when the shell shall end.
    async fn execute(&mut self, text: &str, program: Program) -> bool {
        if program.complete_commands.is_empty() {
            return false;
        }
        if self.interactive {
            let _ = self.shell.add_to_history(text.trim_end_matches('\n'));
            signals::take_interrupt();
        }
        let parameters = self.shell.default_exec_params();
        let depth = self.shell.call_stack().depth();
        if !self.interactive {
            let result = self.shell.run_program(program, &parameters).await;
            return self.conclude(result);
        }
        let outcome = tokio::select! {
            result = self.shell.run_program(program, &parameters) => Some(result),
            () = interruption() => None,
        };
        take_terminal_back();
        if outcome.is_none() {
            unwind(&mut self.shell, depth);
        }
        let interrupted = signals::take_interrupt();
        if interrupted || outcome.is_none() {
            error_line!("");
            self.shell.set_last_exit_status(130);
        }
        outcome.is_some_and(|result| self.conclude(result))
    }

    fn conclude(&mut self, result: Result<brush_core::ExecutionResult, brush_core::Error>) -> bool {
        match result {
            Ok(result) => matches!(result.next_control_flow, ExecutionControlFlow::ExitShell),
            Err(error) => {
                let _ = self.shell.display_error(&mut std::io::stderr(), &error);
                self.shell.set_last_exit_status(1);
                false
            }
        }
    }

    fn count_lines(&mut self, text: &str) {
        let lines = text.lines().count();
        self.lines_read += lines;
        self.shell.increment_interactive_line_offset(lines);
    }

    fn report_syntax_error(&self, text: &str, error: &ParseError) {
        let line = match error {
            ParseError::ParsingNear(position) => position.line,
            _ => text.lines().count() + 1,
        };
        let prefix = messages::prefix_at(&self.shell, self.lines_read + line);
        error_line!("{prefix}{}", messages::syntax(error, Some(text)));
        if let (false, ParseError::ParsingNear(_)) = (self.interactive, error) {
            error_line!("{prefix}`{}'", text.lines().nth(line - 1).unwrap_or_default());
        }
    }

    async fn leave(mut self) -> u8 {
        if self.interactive {
            error_line!("{}", if self.login { "logout" } else { "exit" });
            self.save_history();
        }
        let _ = self.shell.on_exit().await;
        self.shell.last_exit_status()
    }

    fn save_history(&mut self) {
        if self.shell.history().is_none_or(|history| history.count() == 0) {
            return;
        }
        if let Some(path) = self.shell.history_file_path() {
            let _ = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            let _ = self.shell.save_history();
        }
    }
}

fn incomplete(error: &ParseError) -> bool {
    match error {
        ParseError::ParsingAtEndOfInput => true,
        ParseError::Tokenizing { inner, .. } => inner.is_incomplete(),
        ParseError::ParsingNear(_) => false,
    }
}

/// Whether the last line ends in a backslash that joins it to the next one.
fn continues(text: &str) -> bool {
    let Some(body) = text.strip_suffix('\n') else { return false };
    let last = body.rsplit('\n').next().unwrap_or_default();
    let backslashes = last.len() - last.trim_end_matches('\\').len();
    backslashes % 2 == 1 && !last.trim_start().starts_with('#')
}

/// Ends a moment after ctrl-C, so that a command line whose last command was killed ends by itself.
async fn interruption() {
    while !signals::interrupted() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

/// Takes off the call frames and variable scopes that an abandoned command line left behind.
fn unwind(shell: &mut Shell, depth: usize) {
    let frames: *const CallStack = shell.call_stack();
    let whole: *mut Shell = shell;
    let offset = (frames as usize).wrapping_sub(whole as usize);
    if offset + size_of::<CallStack>() <= size_of::<Shell>() {
        // SAFETY: brush offers no mutable access to the call stack. It is a field of the shell (checked above), and
        // the pointer is derived from the exclusive borrow of the whole shell.
        let frames = unsafe { &mut *whole.cast::<u8>().add(offset).cast::<CallStack>() };
        while frames.depth() > depth {
            frames.pop();
        }
    }
    let mut probe = shell.env().clone();
    let mut scopes = 0;
    while !matches!(probe.pop_scope(EnvironmentScope::Global).map_err(|error| is_missing(&error)), Err(true)) {
        scopes += 1;
    }
    for _ in 1..scopes {
        let _ = shell.env_mut().pop_scope(EnvironmentScope::Local);
    }
}

fn is_missing(error: &brush_core::Error) -> bool {
    matches!(error.kind(), brush_core::ErrorKind::MissingScope)
}

/// After a command the terminal may still belong to its process group.
fn take_terminal_back() {
    let stdin = std::io::stdin();
    let _ = rustix::termios::tcsetpgrp(&stdin, rustix::process::getpgrp());
}
