//! Does an act with the engine that has the turn, looks at what it says, and notes in the model what must be there now.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::act::{Act, KILLED, Plan};
use super::building;
use super::files::{Files, Node, script};
use super::mark::{Mark, joined, tar_of};
use super::model::{Container, Removal, Saved, State, VolumeFile};
use super::table::{Fault, Table};

/// How long a container may take to do its work.
const PATIENCE: Duration = Duration::from_secs(20);

impl Act {
    /// Does it with the engine that has the turn, and notes in the model what must be there now.
    pub fn perform(&self, table: &mut Table) -> Result<(), Fault> {
        match self {
            Act::Pull(name) => pull(table, name),
            Act::Create(plan) => {
                table.succeeds(&plan.words(&["create"], false))?;
                add(table, plan, Some(plan.code));
                Ok(())
            }
            Act::Run(plan) => {
                let said = table.exits(&plan.words(&["run"], false), plan.code)?;
                add(table, plan, Some(plan.code));
                started(table, &plan.name, State::Exited(plan.code));
                table.equal("the output", &format!("{}\n", plan.says), &said)
            }
            Act::RunDetached(plan) => {
                table.succeeds(&plan.words(&["run", "--detach", "--stop-timeout", "1"], true))?;
                add(table, plan, None);
                started(table, &plan.name, State::Running);
                wait_for_log(table, &plan.name)
            }
            Act::Start(name) => start(table, name),
            Act::Exec { container, changes } => {
                table.succeeds(&["exec", container, "sh", "-c", &script(changes)])?;
                table.container(container).files.apply(changes);
                Ok(())
            }
            Act::Stop(name) => {
                table.succeeds(&["stop", "--time", "0", name])?;
                table.container(name).state = State::Exited(KILLED);
                Ok(())
            }
            Act::Remove(name) => {
                table.succeeds(&["rm", "--force", name])?;
                table.model.containers.remove(name);
                Ok(())
            }
            Act::Rename { container, to } => {
                table.succeeds(&["rename", container, to])?;
                if let Some(known) = table.model.containers.remove(container) {
                    table.model.containers.insert(to.clone(), known);
                }
                Ok(())
            }
            Act::Commit { container, name } => {
                let id = table.succeeds(&["commit", "--message", name, container, name])?;
                committed(table, container, name, &id);
                Ok(())
            }
            Act::Tag { name, to } => tag(table, name, to),
            Act::Push { name, to } => {
                tag(table, name, to)?;
                table.succeeds(&["push", "--quiet", to])?;
                let served = (table.model.names[to].clone(), table.model.files_of(to));
                table.model.served.insert(to.clone(), served);
                Ok(())
            }
            Act::Build { base, name, context, .. } => {
                self.prepare(table)?;
                let id = table.succeeds(&building::words(name, context))?;
                self.learn_build(table, base, name, &id)
            }
            Act::Rebuild { build, name } => building::rebuild(table, *build, name),
            Act::Save { names, file } => save(table, names, file),
            Act::Load(file) => load(table, file),
            Act::Transplant { container, name, path, content } => {
                let file = format!("{}.tar", name.replace(':', "-"));
                table.succeeds(&["export", "--output", &file, container])?;
                let exported = table.place.join(&file);
                let rest = fs::read(&exported).map_err(Fault::io(file.as_str()))?;
                let tar = joined(tar_of(path.trim_start_matches('/'), content, &Mark::ALL), &rest);
                fs::write(&exported, tar).map_err(Fault::io(file.as_str()))?;
                table.told.push(format!("({path} with marks is put into {file})"));
                let id = table.succeeds(&["import", &file, name])?;
                let mut files = table.container(container).files.clone();
                files.put(path, marked_file(content, Some(Mark::Capability)));
                table.names_image(name, &id, files, None);
                Ok(())
            }
            Act::RemoveName(name) => {
                let removal = table.model.remove_name(name);
                removed(table, &["rmi", name], removal)
            }
            Act::RemoveNameless(id) => {
                let removal = table.model.remove_nameless(id);
                removed(table, &["rmi", id], removal)
            }
            Act::PruneImages => {
                table.succeeds(&["image", "prune", "--force"])?;
                table.model.prune_images();
                Ok(())
            }
            Act::CopyIn { container, path, content, mark } => {
                if let Some(mark) = *mark {
                    let tar = tar_of(&file_name(path), content, &[mark]);
                    let directory = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
                    table.takes(&["cp", "-", &format!("{container}:{directory}")], &tar)?;
                } else {
                    fs::write(table.place.join("copied"), content).map_err(Fault::io("copied"))?;
                    table.succeeds(&["cp", "copied", &format!("{container}:{path}")])?;
                }
                has_place_for_volume(table, container);
                table.container(container).files.put(path, marked_file(content, *mark));
                Ok(())
            }
            Act::CopyOut { container, path } => copy_out(table, container, path),
            Act::RemoveVolume(name) => {
                let is_free = table.model.free_volumes().contains(&name.as_str());
                let removal = if is_free { Removal::Done } else { Removal::Refused("volume is in use") };
                if is_free {
                    table.model.volumes.remove(name);
                }
                removed(table, &["volume", "rm", name], removal)
            }
        }
    }

    /// The words of an act that makes much, when what it reads has been prepared.
    pub fn words(&self) -> Option<Vec<String>> {
        let owned = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        match self {
            Act::Pull(name) => owned(&["pull", "--quiet", name]),
            Act::Load(file) => owned(&["load", "--quiet", "--input", file]),
            Act::Commit { container, name } => owned(&["commit", "--message", name, container, name]),
            Act::Run(plan) => Some(plan.words(&["run"], false)),
            Act::Build { name, context, .. } => owned(&building::words(name, context)),
            _ => None,
        }
    }
}

/// Notes what a commit gave.
pub fn committed(table: &mut Table, container: &str, name: &str, id: &str) {
    let Container { files, image, .. } = table.container(container).clone();
    table.names_image(name, id, files, Some(image));
}

fn tag(table: &mut Table, name: &str, to: &str) -> Result<(), Fault> {
    table.succeeds(&["tag", name, to])?;
    let id = table.model.names[name].clone();
    table.model.names.insert(to.to_owned(), id);
    Ok(())
}

fn pull(table: &mut Table, name: &str) -> Result<(), Fault> {
    table.succeeds(&["pull", "--quiet", name])?;
    let id = table.sees(&["image", "inspect", "--format", "{{.Id}}", name])?;
    let served = table.model.served.entry(name.to_owned()).or_insert_with(|| (id.clone(), Files::pulled())).clone();
    table.equal("the ID of what was pulled", &served.0, &id)?;
    table.names_image(name, &id, served.1, None);
    Ok(())
}

fn add(table: &mut Table, plan: &Plan, code: Option<i32>) {
    let container = plan.container(table, code);
    if let Some(file) = &plan.volume {
        table.model.volumes.entry(file.volume.clone()).or_default();
    }
    table.model.containers.insert(plan.name.clone(), container);
}

/// What a start does to files, log and volume.
fn started(table: &mut Table, name: &str, state: State) {
    let container = table.container(name);
    container.files.apply(&container.script);
    container.log += &container.says;
    container.state = state;
    let volume = container.volume.clone();
    has_place_for_volume(table, name);
    if let Some(VolumeFile { volume, file, content }) = volume {
        table.model.volumes.entry(volume).or_default().insert(file, content);
    }
}

fn start(table: &mut Table, name: &str) -> Result<(), Fault> {
    let Container { code, says, .. } = table.container(name).clone();
    match code {
        Some(code) => {
            let said = table.exits(&["start", "--attach", name], code)?;
            started(table, name, State::Exited(code));
            table.equal("the output", &says, &said)
        }
        None => {
            table.succeeds(&["start", name])?;
            started(table, name, State::Running);
            wait_for_log(table, name)
        }
    }
}

/// A container in the background has done its work when it has said so.
fn wait_for_log(table: &mut Table, name: &str) -> Result<(), Fault> {
    let wanted = table.container(name).log.clone();
    let begun = Instant::now();
    loop {
        let said = table.exits(&["logs", name], 0)?;
        if said == wanted || begun.elapsed() > PATIENCE {
            return table.equal("the log", &wanted, &said);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn save(table: &mut Table, names: &[String], file: &str) -> Result<(), Fault> {
    let words = ["save", "--output", file].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>();
    table.succeeds(&words)?;
    let saved = names.iter().map(|name| {
        let id = table.model.names[name].clone();
        let image = table.model.images[&id].clone();
        Saved { name: name.clone(), id, image }
    });
    let saved = saved.collect();
    table.model.archives.insert(file.to_owned(), saved);
    Ok(())
}

fn load(table: &mut Table, file: &str) -> Result<(), Fault> {
    table.succeeds(&["load", "--quiet", "--input", file])?;
    let saved = table.model.archives[file].clone();
    for Saved { name, id, image } in &saved {
        table.names_image(name, id, image.files.clone(), None);
    }
    // An archive says of an image which of the others it was made of.
    for Saved { id, image, .. } in saved.iter() {
        let parent = image.parent.clone().filter(|parent| saved.iter().any(|other| other.id == *parent));
        if let (Some(parent), Some(known)) = (parent, table.model.images.get_mut(id)) {
            known.parent = Some(parent);
        }
    }
    Ok(())
}

fn removed(table: &mut Table, words: &[&str], removal: Removal) -> Result<(), Fault> {
    match removal {
        Removal::Done => table.succeeds(words).map(drop),
        Removal::Refused(why) => table.refuses(words, why),
    }
}

/// Volumes are mounted for a `cp`, and their places made, as when the container starts.
fn has_place_for_volume(table: &mut Table, name: &str) {
    let container = table.container(name);
    if container.volume.is_some() {
        container.files.directory("/data");
    }
}

fn copy_out(table: &mut Table, container: &str, path: &str) -> Result<(), Fault> {
    let said = table.asks(&["cp", &format!("{container}:{path}"), "-"])?;
    has_place_for_volume(table, container);
    let broken = Fault::io("the tar of cp");
    let mut copied = String::new();
    let mut archive = tar::Archive::new(said.output.as_slice());
    let mut entries = archive.entries().map_err(&broken)?;
    let Some(entry) = entries.next() else { return table.equal("the tar of cp", "one file", &said.errors) };
    let mut entry = entry.map_err(&broken)?;
    let name = entry.path().map_err(&broken)?.into_owned();
    entry.read_to_string(&mut copied).map_err(&broken)?;
    table.equal("its name", &file_name(path), &name.display().to_string())?;
    match table.container(container).files.get(path).cloned() {
        Some(Node::File { content, .. }) => table.equal("what was copied", &content, &copied),
        _ => Ok(()),
    }
}

fn marked_file(content: &str, mark: Option<Mark>) -> Node {
    Node::File { content: content.to_owned(), mode: 0o644, owner: 0, time: None, mark }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
