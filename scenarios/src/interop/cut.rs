//! Cuts a turn off: whoever has it is killed in the middle of an act, or the monitor of one of our containers is; the other takes over.
//!
//! What is drawn after it must not hang on how far the act had got, so that whoever takes over does it again: in the end it is done
//! once, whether it had been done before or not.

use std::collections::BTreeSet;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::act::Act;
use super::draw::Draw;
use super::leftovers::Before;
use super::model::State;
use super::perform::committed;
use super::player::begin;
use super::table::{Fault, Table};

/// How far an act may get that runs nothing.
const LONGEST_MILLISECONDS: usize = 250;
/// How far one may get that runs something.
const LONGEST_RUN_MILLISECONDS: usize = 1000;
/// How long the dead may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was going on when it was cut off.
#[derive(Debug)]
pub enum Cut {
    Act(Act),
    /// The monitor of this container of ours.
    Monitor(String),
}

impl Cut {
    /// What is to be cut off: the monitor of a container, if one runs.
    pub fn draw(table: &Table, draw: &mut Draw) -> Cut {
        let running: Vec<String> = table.model.running().into_iter().map(str::to_owned).collect();
        draw.choose(&running).map_or_else(|| Cut::Act(draw.long(&table.model)), Cut::Monitor)
    }

    /// Its first word, as it is typed.
    pub fn word(&self) -> String {
        let words = if let Cut::Act(act) = self { act.words() } else { None };
        words.and_then(|words| words.into_iter().next()).unwrap_or_else(|| "monitor".to_owned())
    }

    /// Does an act half, or leaves a container without its monitor, and kills everything that the one who has the turn has running.
    pub fn perform(&self, table: &mut Table, draw: &mut Draw, before: &Before) -> Result<(), Fault> {
        let longest = match self {
            Cut::Monitor(_) => 0,
            Cut::Act(Act::Run(_) | Act::Build { .. }) => LONGEST_RUN_MILLISECONDS,
            Cut::Act(_) => LONGEST_MILLISECONDS,
        };
        let after = draw.number(0..=longest);
        let child = match self {
            Cut::Monitor(_) => None,
            Cut::Act(act) => Some(begin_act(table, act)?),
        };
        sleep(Duration::from_millis(after as u64));
        table.told.push(format!("({} is killed after {after} ms)", table.who.name()));
        let begun = Instant::now();
        // What has lost its parent meanwhile comes in the next round.
        while let pids @ [_, ..] = &before.new_processes()[..] {
            if begun.elapsed() > PATIENCE {
                return Err(Fault::new("killed processes", "end", format!("{pids:?}")));
            }
            for pid in pids {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            sleep(Duration::from_millis(10));
        }
        child.map_or(Ok(()), |mut child| child.wait().map(drop)).map_err(Fault::io("a killed command"))
    }

    /// Has whoever took over do it again, and remove what was made by then and nobody knows.
    pub fn reconcile(self, table: &mut Table) -> Result<(), Fault> {
        match self {
            Cut::Monitor(container) => {
                let code = table.sees(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &container])?;
                let code = code.strip_prefix("exited ").and_then(|code| code.parse().ok());
                let code = code.ok_or_else(|| Fault::new(&container, "has exited", "has not"))?;
                table.container(&container).state = State::Exited(code);
                Ok(())
            }
            Cut::Act(act) => {
                remove_containers(table)?;
                match (&act, named(table, &act)?) {
                    // A second one would be another.
                    (Act::Commit { container, name }, Some(id)) => committed(table, container, name, &id),
                    _ => act.perform(table)?,
                }
                remove_images(table)
            }
        }
    }
}

fn begin_act(table: &mut Table, act: &Act) -> Result<Child, Fault> {
    let words = act.words().ok_or_else(|| Fault::new("an act to be cut off", "makes much", format!("{act:?}")))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    act.prepare(table)?;
    table.tell(&words);
    begin(table.who, &words, &table.place).map_err(Fault::io("an act to be cut off"))
}

/// The image that a commit had given its name by then.
fn named(table: &Table, act: &Act) -> Result<Option<String>, Fault> {
    let Act::Commit { name, .. } = act else { return Ok(None) };
    let said = table.looks(&["image", "inspect", "--format", "{{.Id}}", name])?;
    Ok((said.code == 0).then(|| said.text()))
}

/// A container of the act that was cut off: its own, or one of a build's.
fn remove_containers(table: &mut Table) -> Result<(), Fault> {
    let all = table.sees(&["ps", "--all", "--format", "{{.Names}}"])?;
    let unknown: Vec<&str> = all.lines().filter(|name| !table.model.containers.contains_key(*name)).collect();
    match unknown[..] {
        [] => Ok(()),
        [unknown] => table.succeeds(&["rm", "--force", unknown]).map(drop),
        _ => Err(Fault::new("containers that nobody knows", "one at most", unknown.join(" "))),
    }
}

/// An image that was made and not yet named, or that no later one was made of, is none that anybody knows: it goes as any nameless one.
fn remove_images(table: &mut Table) -> Result<(), Fault> {
    let ids = |table: &Table, further: &[&str]| {
        let words = [&["images", "--quiet", "--no-trunc"], further].concat();
        let all = table.sees(&words)?;
        let unknown = all.lines().filter(|id| !table.model.images.contains_key(*id)).map(str::to_owned);
        Ok(unknown.collect::<BTreeSet<String>>())
    };
    loop {
        let childless = ids(table, &["--filter", "dangling=true"])?;
        let Some(one) = childless.first() else { break };
        table.succeeds(&["rmi", one])?;
    }
    let left = ids(table, &["--all"])?;
    match left.is_empty() {
        true => Ok(()),
        false => Err(Fault::new("images that nobody knows", "none", left.into_iter().collect::<Vec<_>>().join(" "))),
    }
}
