//! Builtins where brush is not bash yet: `cd`, `kill`, `wait`, `trap` and `exec`, and delivery of signal traps.

use super::messages::prefix;
use super::{Extensions, Shell, signals};
use crate::os;
use brush_core::builtins::{BoxFuture, Registration};
use brush_core::traps::TrapSignal;
use brush_core::{CommandArg, Error, ExecutionContext, ExecutionControlFlow, ExecutionResult, SourceInfo};
use std::collections::HashMap;
use std::io::Write as _;

type Context<'a> = ExecutionContext<'a, Extensions>;
type Outcome = Result<ExecutionResult, Error>;
type Execute = fn(Context<'_>, Vec<CommandArg>) -> BoxFuture<'_, Outcome>;

/// Runs before every command while a signal is trapped; kept out of `trap -p` and of `set -x`.
const HOOK: &str = "{ __signal_traps; } 2>&-";

/// The registrations that replace brush's.
pub fn overriding() -> HashMap<String, Registration<Extensions>> {
    let mut theirs = brush_builtins::default_builtins::<Extensions>(brush_builtins::BuiltinSet::BashMode);
    let ours: [(&str, &str, Execute); 6] = [
        ("cd", "cd", |context, args| Box::pin(cd(context, args))),
        ("kill", "kill", |context, args| Box::pin(kill(context, args))),
        ("wait", "wait", |context, args| Box::pin(wait(context, args))),
        ("trap", "trap", |context, args| Box::pin(trap(context, args))),
        ("exec", "exec", |context, args| Box::pin(exec(context, args))),
        ("__signal_traps", ":", |context, _| Box::pin(signal_traps(context))),
    ];
    let mut replaced = HashMap::new();
    for (name, like, execute) in ours {
        let found = if name == like { theirs.remove(like) } else { theirs.get(like).cloned() };
        if let Some(mut registration) = found {
            registration.execute_func = execute;
            replaced.insert(name.to_owned(), registration);
        }
    }
    replaced
}

fn brush_builtin(name: &str) -> Option<Registration<Extensions>> {
    brush_builtins::default_builtins::<Extensions>(brush_builtins::BuiltinSet::BashMode).remove(name)
}

async fn original(name: &str, context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    match brush_builtin(name) {
        Some(registration) => (registration.execute_func)(context, args).await,
        None => Ok(ExecutionResult::general_error()),
    }
}

fn words(args: &[CommandArg]) -> Vec<String> {
    args.iter().skip(1).map(ToString::to_string).collect()
}

fn complain(context: &Context<'_>, message: &str) {
    let _ = writeln!(context.stderr(), "{}{}: {message}", prefix(context.shell), context.command_name);
}

async fn cd(context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    let operands: Vec<String> = words(&args).into_iter().filter(|word| word == "-" || !word.starts_with('-')).collect();
    if operands.len() > 1 {
        complain(&context, "too many arguments");
        return Ok(ExecutionResult::general_error());
    }
    let variable = match operands.first().map(String::as_str) {
        None => Some("HOME"),
        Some("-") => Some("OLDPWD"),
        Some(_) => None,
    };
    let target = match variable {
        None => operands[0].clone(),
        Some(name) => match context.shell.env_str(name) {
            Some(value) => value.into_owned(),
            None => {
                complain(&context, &format!("{name} not set"));
                return Ok(ExecutionResult::general_error());
            }
        },
    };
    let path = context.shell.absolute_path(&target);
    let problem = match std::fs::metadata(&path) {
        Err(error) => Some(crate::say::reason(&error)),
        Ok(found) if !found.is_dir() => Some("Not a directory".to_owned()),
        Ok(_) => rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).err().map(|_| "Permission denied".to_owned()),
    };
    match problem {
        Some(problem) => {
            complain(&context, &format!("{target}: {problem}"));
            Ok(ExecutionResult::general_error())
        }
        None => original("cd", context, args).await,
    }
}

async fn kill(context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    let args_given = words(&args);
    if args_given.first().is_some_and(|first| first == "-l" || first == "-L") {
        return original("kill", context, args).await;
    }
    let (signal, targets) = match parse_kill(&args_given) {
        Ok(parsed) => parsed,
        Err(message) => {
            complain(&context, &message);
            return Ok(ExecutionResult::new(1));
        }
    };
    if targets.is_empty() {
        let _ = writeln!(
            context.stderr(),
            "kill: usage: kill [-s sigspec | -n signum | -sigspec] pid | jobspec ... or kill -l [sigspec]"
        );
        return Ok(ExecutionResult::new(2));
    }
    let mut status = 0;
    for target in &targets {
        let pid = if target.starts_with('%') {
            match context.shell.jobs_mut().resolve_job_spec(target).map(|job| job.process_group_id()) {
                Some(pid) => pid,
                None => {
                    complain(&context, &format!("{target}: no such job"));
                    status = 1;
                    continue;
                }
            }
        } else {
            target.parse().ok()
        };
        let Some(pid) = pid else {
            complain(&context, &format!("{target}: arguments must be process or job IDs"));
            status = 1;
            continue;
        };
        if let Err(error) = os::kill(pid, signal) {
            complain(&context, &format!("({pid}) - {}", crate::say::reason(&error)));
            status = 1;
        }
    }
    Ok(ExecutionResult::new(status))
}

fn parse_kill(args: &[String]) -> Result<(i32, Vec<String>), String> {
    let mut signal = libc::SIGTERM;
    let mut rest = args;
    let named = |text: &str| os::signal_number(text).ok_or_else(|| format!("{text}: invalid signal specification"));
    match rest.first().map(String::as_str) {
        Some("-s" | "-n") => {
            let Some(name) = rest.get(1) else { return Err(format!("{}: option requires an argument", rest[0])) };
            signal = named(name)?;
            rest = &rest[2..];
        }
        Some("--") => rest = &rest[1..],
        Some(first) if first.len() > 1 && first.starts_with('-') => {
            signal = named(first[1..].trim_start_matches('s').trim_start()).or_else(|_| named(&first[1..]))?;
            rest = &rest[1..];
        }
        _ => {}
    }
    if rest.first().is_some_and(|first| first == "--") {
        rest = &rest[1..];
    }
    Ok((signal, rest.to_vec()))
}

/// `wait`, which a trapped signal interrupts with status 128 + n.
async fn wait(mut context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    let targets = words(&args);
    if !signals::any_arrived() {
        let result = tokio::select! {
            result = wait_for(&mut context, &targets) => return result,
            signal = arrival() => signal,
        };
        debug_assert!(result);
    }
    let interactive = context.shell.options().interactive;
    match signals::take(interactive) {
        Some(signal) => {
            let leaves = run_trap(context.shell, signal).await;
            let mut result = ExecutionResult::new(u8::try_from(128 + signal).unwrap_or(u8::MAX));
            if leaves {
                result = ExecutionResult::new(context.shell.last_exit_status());
                result.next_control_flow = ExecutionControlFlow::ExitShell;
            }
            Ok(result)
        }
        None => std::future::pending().await,
    }
}

async fn arrival() -> bool {
    while !signals::any_arrived() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    true
}

async fn wait_for(context: &mut Context<'_>, targets: &[String]) -> Outcome {
    let mut status = ExecutionResult::success();
    if targets.is_empty() {
        context.shell.jobs_mut().wait_all().await?;
    }
    for target in targets {
        let pid = target.parse::<i32>().ok();
        let jobs = context.shell.jobs_mut();
        let job = match pid {
            None => jobs.resolve_job_spec(target),
            Some(pid) => jobs.jobs.iter_mut().find(|job| job.representative_pid() == Some(pid)),
        };
        match job {
            Some(job) => status = job.wait().await?,
            None => {
                let message = match pid {
                    Some(pid) => format!("pid {pid} is not a child of this shell"),
                    None => format!("{target}: no such job"),
                };
                complain(context, &message);
                status = ExecutionResult::new(127);
            }
        }
    }
    Ok(status)
}

async fn trap(mut context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    let given: Vec<String> = words(&args).into_iter().filter(|word| word != "--").collect();
    if given.first().is_none_or(|first| first == "-p") {
        let shown = without_hook(&mut context);
        let result = list_traps(&context, given.get(1..).unwrap_or_default());
        if shown {
            install_hook(context.shell);
        }
        return result;
    }
    if given[0] == "-l" {
        return original("trap", context, args).await;
    }
    let (handler, names) = match given.split_first() {
        Some((only, [])) => ("-", vec![only.clone()]),
        Some((first, names)) => (first.as_str(), names.to_vec()),
        None => return Ok(ExecutionResult::success()),
    };
    let source = context.shell.call_stack().current_pos_as_source_info();
    let interactive = context.shell.options().interactive;
    let mut status = 0;
    for name in &names {
        let Ok(signal) = name.parse::<TrapSignal>() else {
            complain(&context, &format!("{name}: invalid signal specification"));
            status = 1;
            continue;
        };
        let disposition = match handler {
            "-" => signals::Disposition::Default,
            "" => signals::Disposition::Ignored,
            _ => signals::Disposition::Trapped,
        };
        if matches!(disposition, signals::Disposition::Default) {
            context.shell.traps_mut().remove_handlers(signal);
        } else {
            context.shell.traps_mut().register_handler(signal, handler.to_owned(), source.clone());
        }
        if let (TrapSignal::Signal(_), Ok(number)) = (signal, i32::try_from(signal)) {
            signals::dispose(number, &disposition, interactive);
            install_hook(context.shell);
        }
    }
    Ok(ExecutionResult::new(status))
}

fn list_traps(context: &Context<'_>, names: &[String]) -> Outcome {
    let mut handlers: Vec<(i32, String, String)> = context
        .shell
        .traps()
        .iter_handlers()
        .filter(|(signal, _)| {
            names.is_empty() || names.iter().any(|name| name.parse::<TrapSignal>().is_ok_and(|named| named == *signal))
        })
        .map(|(signal, handler)| {
            (i32::try_from(signal).unwrap_or(i32::MAX), signal.to_string(), handler.command.replace('\'', r"'\''"))
        })
        .collect();
    handlers.sort();
    for (_, signal, command) in handlers {
        writeln!(context.stdout(), "trap -- '{command}' {signal}")?;
    }
    Ok(ExecutionResult::success())
}

/// Makes [`signal_traps`] run before each command, together with the user's own DEBUG trap.
pub fn install_hook(shell: &mut Shell) {
    let own = shell.traps().get_handler(TrapSignal::Debug).map(|handler| handler.command.clone());
    let command = match own {
        Some(own) if own.starts_with(HOOK) => return,
        Some(own) => format!("{HOOK}\n{own}"),
        None => HOOK.to_owned(),
    };
    shell.options_mut().shell_functions_inherit_debug_and_return_traps = true;
    shell.traps_mut().register_handler(TrapSignal::Debug, command, SourceInfo::from("trap"));
}

/// Takes the hook out again, leaving the user's DEBUG trap; true when there was one.
fn without_hook(context: &mut Context<'_>) -> bool {
    let Some(command) = context.shell.traps().get_handler(TrapSignal::Debug).map(|handler| handler.command.clone())
    else {
        return false;
    };
    let Some(own) = command.strip_prefix(HOOK) else { return false };
    context.shell.traps_mut().remove_handlers(TrapSignal::Debug);
    if !own.trim().is_empty() {
        let own = own.trim_start().to_owned();
        context.shell.traps_mut().register_handler(TrapSignal::Debug, own, SourceInfo::from("trap"));
    }
    true
}

/// The hidden builtin: stops an interrupted command line, runs the traps of signals that arrived.
async fn signal_traps(context: Context<'_>) -> Outcome {
    if context.shell.options().interactive {
        tokio::task::yield_now().await;
        if signals::interrupted() {
            std::future::pending::<()>().await;
        }
    }
    if deliver(context.shell).await {
        // A trap that says `exit` ends the shell even where brush would drop the request.
        let _ = context.shell.on_exit().await;
        let _ = std::io::stdout().flush();
        std::process::exit(i32::from(context.shell.last_exit_status()));
    }
    Ok(ExecutionResult::success())
}

/// Runs the traps of all signals that arrived; true when one of them says `exit`.
pub async fn deliver(shell: &mut Shell) -> bool {
    let interactive = shell.options().interactive;
    while let Some(signal) = signals::take(interactive) {
        if run_trap(shell, signal).await {
            return true;
        }
    }
    false
}

async fn run_trap(shell: &mut Shell, signal: i32) -> bool {
    let Ok(trapped) = TrapSignal::try_from(signal) else { return false };
    let Some(handler) = shell.traps().get_handler(trapped).cloned() else { return false };
    let status = shell.last_exit_status();
    let parameters = shell.default_exec_params();
    match shell.run_string(handler.command, &handler.source_info, &parameters).await {
        Ok(result) if matches!(result.next_control_flow, ExecutionControlFlow::ExitShell) => {
            shell.set_last_exit_status(u8::from(result.exit_code));
            true
        }
        _ => {
            shell.set_last_exit_status(status);
            false
        }
    }
}

async fn exec(context: Context<'_>, args: Vec<CommandArg>) -> Outcome {
    let command = words(&args).into_iter().find(|word| !word.starts_with('-'));
    if let Some(command) = command {
        let found = if command.contains('/') {
            context.shell.absolute_path(&command).exists()
        } else {
            context.shell.find_first_executable_in_path(&command).is_some()
        };
        if !found {
            let problem = if command.contains('/') { "No such file or directory" } else { "not found" };
            complain(&context, &format!("{command}: {problem}"));
            let mut result = ExecutionResult::new(127);
            if !context.shell.options().interactive {
                result.next_control_flow = ExecutionControlFlow::ExitShell;
            }
            return Ok(result);
        }
        let _ = std::io::stdout().flush();
    }
    original("exec", context, args).await
}
