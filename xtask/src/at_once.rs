//! Runs commands side by side, since most of them wait half of the time; what each says is told when it has ended.

use std::io;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Context;

/// Runs each command, `lanes` of them at any time, in the order given. Returns the names of those that failed.
pub fn at_once(lanes: usize, commands: Vec<(String, Command)>) -> Vec<String> {
    let waiting = Mutex::new(commands.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || {
        let mut failed = Vec::new();
        while let Some((what, command)) = next() {
            let is_done = is_done(&what, command).unwrap_or_else(|error| {
                println!("{error:#}");
                false
            });
            if !is_done {
                failed.push(what);
            }
        }
        failed
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Runs one to its end and tells all of it in one piece; whether it succeeded.
fn is_done(what: &str, mut command: Command) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {what}"))?;
    let how = if output.status.success() { String::new() } else { format!("ended with {}, ", output.status) };
    let _in_one_piece = io::stdout().lock();
    print!("==> {what}\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("==> {what}: {how}{} s", begun.elapsed().as_secs());
    Ok(output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_run_and_those_that_fail_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let shell = |name: &str, script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).current_dir(&directory);
            (name.to_owned(), command)
        };
        // The first waits for the second, so that they must run side by side.
        let commands = vec![
            shell("waits", "mkfifo said && cat said"),
            shell("speaks", "until [ -p said ]; do :; done; echo word > said"),
            shell("fails", "exit 3"),
            shell("is killed", "kill $$"),
        ];
        let mut failed = at_once(2, commands);
        failed.sort();
        assert_eq!(failed, ["fails", "is killed"]);
    }
}
