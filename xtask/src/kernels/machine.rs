//! A machine that runs until it switches itself off or its time is over, and what it told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What the first process of a machine tells; `layerlab-init` writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Event {
    Up { up: String },
    Line { run: String, line: String },
    Result { run: String, result: Map<String, Value> },
    Status { run: String, status: i32 },
    Refused { run: String, refused: String },
}

/// What is known of the laws on one file system.
#[derive(Debug, Default)]
pub struct Told {
    /// All that they printed.
    pub lines: Vec<String>,
    /// What came of each law, as `cargo xtask report` takes it.
    pub results: Vec<Map<String, Value>>,
    /// How they ended, if they did.
    pub status: Option<i32>,
    /// Why they were not begun.
    pub refused: Option<String>,
}

/// What is known of a machine.
#[derive(Debug, Default)]
pub struct Heard {
    /// Its kernel's release, once it was up.
    pub release: Option<String>,
    /// By file system.
    pub runs: BTreeMap<String, Told>,
    /// What was wrong with its end, if something was.
    pub end: Option<String>,
    pub seconds: f64,
}

/// What a machine is put together from.
pub struct Parts<'a> {
    pub kernel: &'a Path,
    pub archive: &'a Path,
    /// The first is the machine's first disk, and so on.
    pub disks: &'a [PathBuf],
    /// Gets what the kernel says.
    pub console: &'a Path,
    /// Gets what the first process tells.
    pub events: &'a Path,
    /// Where the machine may put what it needs while it runs.
    pub directory: &'a Path,
}

/// What is started, and where it tells.
pub struct Machine {
    pub command: Command,
    /// Where its program complains.
    pub complaints: PathBuf,
    pub events: PathBuf,
    pub limit: Duration,
}

impl Machine {
    /// Runs it to its end, or to the end of its time.
    pub fn run(mut self) -> anyhow::Result<Heard> {
        fs::write(&self.events, "")?;
        let begun = Instant::now();
        let program = self.command.get_program().display().to_string();
        let mut child = self.command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot run {program}"))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if begun.elapsed() > self.limit {
                let below = descendants(child.id());
                child.kill()?;
                child.wait()?;
                stop(&below)?;
                break None;
            }
            thread::sleep(LOOK);
        };
        let mut heard = heard(&fs::read_to_string(&self.events).unwrap_or_default());
        heard.seconds = begun.elapsed().as_secs_f64();
        heard.end = match status {
            None => Some(format!("it was stopped after {} s", self.limit.as_secs())),
            Some(status) if !status.success() => {
                let complaints = fs::read_to_string(&self.complaints).unwrap_or_default();
                let last = complaints.trim_end().lines().last().unwrap_or_default();
                Some(format!("its program ended with {status}: {last}"))
            }
            Some(_) => None,
        };
        Ok(heard)
    }
}

/// All processes below this one: those of user-mode Linux would outlive it.
fn descendants(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

fn stop(processes: &[u32]) -> anyhow::Result<()> {
    let numbers: Vec<String> = processes.iter().map(u32::to_string).collect();
    if !numbers.is_empty() {
        // Those that ended meanwhile are complained of.
        Command::new("sh").args(["-c", "kill -KILL $0 2> /dev/null", &numbers.join(" ")]).status()?;
    }
    Ok(())
}

/// What the lines say; one that was cut off says nothing.
fn heard(events: &str) -> Heard {
    let mut heard = Heard::default();
    for event in events.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()) {
        match event {
            Event::Up { up } => heard.release = Some(up),
            Event::Line { run, line } => heard.runs.entry(run).or_default().lines.push(line),
            Event::Result { run, mut result } => {
                // There it is a directory called as the file system is.
                result.insert("backing".to_owned(), run.clone().into());
                heard.runs.entry(run).or_default().results.push(result);
            }
            Event::Status { run, status } => heard.runs.entry(run).or_default().status = Some(status),
            Event::Refused { run, refused } => heard.runs.entry(run).or_default().refused = Some(refused),
        }
    }
    heard
}

/// A program that ends when we end, however that comes: nobody else would stop a machine.
pub fn ends_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_told_is_heard_up_to_where_it_broke_off() {
        let heard = heard(concat!(
            "{\"up\":\"6.12.1\"}\r\n",
            "{\"line\":\"every law held\",\"run\":\"ext4\"}\r\n",
            "{\"result\":{\"law\":\"a-law\",\"backing\":\"/ext4\"},\"run\":\"ext4\"}\r\n",
            "{\"run\":\"ext4\",\"status\":0}\r\n",
            "{\"refused\":\"no xfs\",\"run\":\"xfs\"}\r\n",
            "{\"line\":\"a \\\"law\\\" broke\",\"run\":\"btrfs\"}\r\n",
            "{\"run\":\"btrfs\",\"sta",
        ));
        assert_eq!(heard.release.as_deref(), Some("6.12.1"));
        assert_eq!((heard.runs["ext4"].status, heard.runs["ext4"].lines.len()), (Some(0), 1));
        assert_eq!(
            (&heard.runs["ext4"].results[0]["law"], &heard.runs["ext4"].results[0]["backing"]),
            (&"a-law".into(), &"ext4".into())
        );
        assert_eq!(heard.runs["xfs"].refused.as_deref(), Some("no xfs"));
        assert_eq!((heard.runs["btrfs"].status, &*heard.runs["btrfs"].lines[0]), (None, "a \"law\" broke"));
    }
}
