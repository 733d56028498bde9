//! Cuts a turn off: whoever has it is killed in the middle of an act, or the monitor of one of our containers is; the other takes over.

use std::collections::BTreeMap;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::act::Act;
use super::draw::Draw;
use super::files::Files;
use super::leftovers::Before;
use super::model::{Image, ImageId, Saved, State};
use super::player::begin;
use super::table::{Fault, Table};

/// How far an act may get.
const LONGEST_MILLISECONDS: usize = 250;
/// How long the dead may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was going on when it was cut off.
#[derive(Debug)]
pub enum Cut {
    /// An act that gives images names, which each may have or not have been given.
    Naming(BTreeMap<String, Promised>),
    /// The monitor of this container of ours.
    Monitor(String),
}

/// What an image is that would have got a name.
#[derive(Debug)]
pub struct Promised {
    files: Files,
    parent: Option<ImageId>,
}

impl Cut {
    /// Does an act half, or leaves a container without its monitor, and kills everything that the one who has the turn has running.
    pub fn perform(table: &mut Table, draw: &mut Draw, before: &Before) -> Result<Cut, Fault> {
        let running: Vec<String> = table.model.running().into_iter().map(str::to_owned).collect();
        let after = draw.number(0..=LONGEST_MILLISECONDS);
        let (cut, child) = match draw.choose(&running) {
            Some(container) => (Cut::Monitor(container), None),
            None => {
                let (promised, child) = begin_naming(table, draw)?;
                sleep(Duration::from_millis(after as u64));
                (Cut::Naming(promised), Some(child))
            }
        };
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
        child.map_or(Ok(()), |mut child| child.wait().map(drop)).map_err(Fault::io("a killed command"))?;
        Ok(cut)
    }

    /// Asks whoever took over how far the act had got: a name means what it did, or what it was to mean.
    pub fn reconcile(self, table: &mut Table) -> Result<(), Fault> {
        match self {
            Cut::Monitor(container) => {
                let code = table.sees(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &container])?;
                let code = code.strip_prefix("exited ").and_then(|code| code.parse().ok());
                let code = code.ok_or_else(|| Fault::new(&container, "has exited", "has not"))?;
                table.container(&container).state = State::Exited(code);
                Ok(())
            }
            Cut::Naming(promised) => {
                for (name, Promised { files, parent }) in promised {
                    let said = table.looks(&["image", "inspect", "--format", "{{.Id}}", &name])?;
                    if said.code == 0 && table.model.names.get(&name) != Some(&said.text()) {
                        table.names_image(&name, &said.text(), files, parent);
                    }
                }
                remove_nameless(table)
            }
        }
    }
}

/// Begins an act that gives names.
fn begin_naming(table: &mut Table, draw: &mut Draw) -> Result<(BTreeMap<String, Promised>, Child), Fault> {
    let act = draw.naming(&table.model);
    let (words, promised) = match &act {
        Act::Load(file) => {
            let saved = &table.model.archives[file];
            let within = |id: &ImageId| saved.iter().any(|other| other.id == *id);
            let promise = |Saved { name, image, .. }: &Saved| {
                let Image { files, parent, .. } = image;
                (name.clone(), Promised { files: files.clone(), parent: parent.clone().filter(within) })
            };
            (vec!["load", "--quiet", "--input", file], saved.iter().map(promise).collect())
        }
        Act::Commit { container, name } => {
            let known = &table.model.containers[container];
            let promised = Promised { files: known.files.clone(), parent: Some(known.image.clone()) };
            (vec!["commit", container, name], BTreeMap::from([(name.clone(), promised)]))
        }
        Act::Pull(name) => {
            let files = table.model.served.get(name).map_or_else(Files::pulled, |served| served.1.clone());
            let promised = Promised { files, parent: None };
            (vec!["pull", "--quiet", name], BTreeMap::from([(name.clone(), promised)]))
        }
        other => return Err(Fault::new("an act to be cut off", "gives names", format!("{other:?}"))),
    };
    table.tell(&words);
    let child = begin(table.who, &words, &table.place).map_err(Fault::io("an act to be cut off"))?;
    Ok((promised, child))
}

/// An image that was made and not yet named is none that anybody knows: it goes as any nameless one.
fn remove_nameless(table: &mut Table) -> Result<(), Fault> {
    let all = table.sees(&["images", "--all", "--quiet", "--no-trunc"])?;
    let unknown: Vec<&str> = all.lines().filter(|id| !table.model.images.contains_key(*id)).collect();
    match unknown[..] {
        [] => Ok(()),
        [unknown] => table.succeeds(&["rmi", unknown]).map(drop),
        _ => Err(Fault::new("images that nobody knows", "one at most", unknown.join(" "))),
    }
}
