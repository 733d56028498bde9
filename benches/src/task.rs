//! What one peer does for one workload: what is arranged before, what is timed, and how its result is checked.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::bed::Bed;
use crate::results::Space;

/// Something that is done again and again.
pub struct Task<'a> {
    before: Box<dyn FnMut() -> anyhow::Result<()> + 'a>,
    timed: Timed<'a>,
    check: Box<Check<'a>>,
    after: Box<dyn FnMut() -> anyhow::Result<()> + 'a>,
    /// Each time, where that is asked for.
    space: Option<Vec<Space>>,
}

type Check<'a> = dyn FnMut(&str) -> anyhow::Result<()> + 'a;

/// What is timed.
pub enum Timed<'a> {
    /// One process after the other, from the start of the first to the end of the last.
    Commands(Box<dyn FnMut() -> Vec<Command> + 'a>),
    /// All at once, from the start of the first to the end of the last.
    AtOnce(Box<dyn FnMut() -> Vec<Command> + 'a>),
    /// A floor, in this process: it says itself how long it took, since it leaves out what no tool needs.
    Floor(Box<dyn FnMut() -> anyhow::Result<Duration> + 'a>),
}

impl<'a> Task<'a> {
    /// One process.
    pub fn command(mut command: impl FnMut() -> Command + 'a) -> Task<'a> {
        Task::timed(Timed::Commands(Box::new(move || vec![command()])))
    }

    /// Processes one after the other.
    pub fn commands(commands: impl FnMut() -> Vec<Command> + 'a) -> Task<'a> {
        Task::timed(Timed::Commands(Box::new(commands)))
    }

    /// Processes all at once.
    pub fn at_once(commands: impl FnMut() -> Vec<Command> + 'a) -> Task<'a> {
        Task::timed(Timed::AtOnce(Box::new(commands)))
    }

    /// A floor that is timed as it is.
    pub fn call(mut call: impl FnMut() -> anyhow::Result<()> + 'a) -> Task<'a> {
        Task::floor(move || {
            let begun = Instant::now();
            call()?;
            Ok(begun.elapsed())
        })
    }

    /// A floor that says how long it took.
    pub fn floor(floor: impl FnMut() -> anyhow::Result<Duration> + 'a) -> Task<'a> {
        Task::timed(Timed::Floor(Box::new(floor)))
    }

    fn timed(timed: Timed<'a>) -> Task<'a> {
        Task {
            before: Box::new(|| Ok(())),
            timed,
            check: Box::new(|_| Ok(())),
            after: Box::new(|| Ok(())),
            space: None,
        }
    }

    /// What is done before each time, and not timed.
    pub fn before(mut self, before: impl FnMut() -> anyhow::Result<()> + 'a) -> Task<'a> {
        self.before = Box::new(before);
        self
    }

    /// Looks at what came of it, each time, not timed; it is given what the processes wrote to their standard output.
    pub fn check(mut self, check: impl FnMut(&str) -> anyhow::Result<()> + 'a) -> Task<'a> {
        self.check = Box::new(check);
        self
    }

    /// What is done when it has been done for the last time, whatever came of it.
    pub fn after(mut self, after: impl FnMut() -> anyhow::Result<()> + 'a) -> Task<'a> {
        self.after = Box::new(after);
        self
    }

    /// What is done after that.
    pub fn then(mut self, then: impl FnMut() -> anyhow::Result<()> + 'a) -> Task<'a> {
        let (mut first, mut then) = (self.after, then);
        self.after = Box::new(move || {
            first()?;
            then()
        });
        self
    }

    /// What it leaves on the file system is measured each time.
    pub fn weighed(mut self) -> Task<'a> {
        self.space = Some(Vec::new());
        self
    }

    /// The median of that.
    pub fn space(&self) -> Option<Space> {
        let middle = |of: fn(&Space) -> i64| {
            let mut values: Vec<i64> = self.space.iter().flatten().map(of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        Some(Space { bytes: middle(|space| space.bytes)?, inodes: middle(|space| space.inodes)? })
    }

    /// It was done for the last time.
    pub fn end(mut self) -> anyhow::Result<()> {
        (self.after)()
    }

    /// Does it once: how long it took.
    pub fn once(&mut self, bed: &Bed) -> anyhow::Result<Duration> {
        self.once_with(bed, &mut |commands| {
            let mut said = String::new();
            for command in commands {
                said += &succeed(command)?;
            }
            Ok(said)
        })
    }

    /// Does it once, its processes by `run`, which gives what they wrote.
    pub fn once_with(
        &mut self,
        bed: &Bed,
        run: &mut dyn FnMut(Vec<Command>) -> anyhow::Result<String>,
    ) -> anyhow::Result<Duration> {
        (self.before)()?;
        // Nobody pays for what was arranged.
        bed.settle()?;
        let before = self.space.is_some().then(|| bed.used()).transpose()?;
        let (time, said) = match &mut self.timed {
            Timed::Commands(commands) => {
                let commands = commands();
                let begun = Instant::now();
                let said = run(commands)?;
                (begun.elapsed(), said)
            }
            Timed::AtOnce(commands) => {
                let commands = commands();
                let begun = Instant::now();
                let said = all_at_once(commands)?;
                (begun.elapsed(), said)
            }
            Timed::Floor(floor) => (floor()?, String::new()),
        };
        if let (Some(all), Some(before)) = (&mut self.space, before) {
            let after = bed.used()?;
            all.push(Space { bytes: after.bytes - before.bytes, inodes: after.inodes - before.inodes });
        }
        (self.check)(&said)?;
        Ok(time)
    }

    /// Whether processes do it, one after the other, so that what they do can be counted.
    pub fn can_be_counted(&self) -> bool {
        matches!(self.timed, Timed::Commands(_))
    }
}

/// Runs it to its end; what it wrote, and an error with all that it said where it failed.
pub fn succeed(mut command: Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    told(&command, output)
}

/// How an error of [`succeed`] says it, without the command, in which paths of this machine stand.
pub fn cause(error: &anyhow::Error) -> String {
    let said = format!("{error:#}");
    said.split_once(ENDED).map_or(said.as_str(), |(_, why)| why).to_owned()
}

/// What stands between a command and its end.
const ENDED: &str = " ended with ";

fn told(command: &Command, output: Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{command:?}{ENDED}{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn all_at_once(commands: Vec<Command>) -> anyhow::Result<String> {
    let begin = |mut command: Command| {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.map(|child| (command, child))
    };
    let children = commands.into_iter().map(begin).collect::<Result<Vec<_>, _>>()?;
    let mut said = String::new();
    for (command, child) in children {
        said += &told(&command, child.wait_with_output()?)?;
    }
    Ok(said)
}
