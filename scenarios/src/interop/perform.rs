//! Does an act with the engine that has the turn, looks at what it says, and notes in the model what must be there now.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::act::{Act, KILLED, Plan};
use super::files::{Change, Files, Node, TIMES_END, script};
use super::model::{Build, Container, Removal, Saved, State, VolumeFile};
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
                let Container { files, image, .. } = table.container(container).clone();
                table.names_image(name, &id, files, Some(image));
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
            Act::Build { base, name, context, copied, changes } => build(table, base, name, context, copied, changes),
            Act::Rebuild { build, name } => rebuild(table, *build, name),
            Act::Save { names, file } => save(table, names, file),
            Act::Load(file) => load(table, file),
            Act::Transplant { container, name } => {
                let file = format!("{}.tar", name.replace(':', "-"));
                table.succeeds(&["export", "--output", &file, container])?;
                let id = table.succeeds(&["import", &file, name])?;
                let files = table.container(container).files.clone();
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
            Act::CopyIn { container, path, content, capable } => {
                if *capable {
                    let tar = capable_file(&file_name(path), content);
                    let directory = path.rsplit_once('/').map_or("/", |(directory, _)| directory);
                    table.takes(&["cp", "-", &format!("{container}:{directory}")], &tar)?;
                } else {
                    fs::write(table.place.join("copied"), content).map_err(Fault::io("copied"))?;
                    table.succeeds(&["cp", "copied", &format!("{container}:{path}")])?;
                }
                has_place_for_volume(table, container);
                let content = content.clone();
                let file = Node::File { content, mode: 0o644, owner: 0, time: None, capable: *capable };
                table.container(container).files.put(path, file);
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

fn build(
    table: &mut Table,
    base: &str,
    name: &str,
    context: &str,
    copied: &str,
    changes: &[Change],
) -> Result<(), Fault> {
    let directory = table.place.join(context);
    let dockerfile =
        format!("FROM {base}\nCOPY copied /w/{context}\nRUN {}\nLABEL context={context}\n", script(changes));
    let write = |file: &str, text: &str| fs::write(directory.join(file), text).map_err(Fault::io(file));
    fs::create_dir(&directory).map_err(Fault::io(context))?;
    write("copied", copied)?;
    write("Dockerfile", &dockerfile)?;
    let base_id = table.model.names[base].clone();
    let id = table.succeeds(&["build", "--quiet", "--network", "none", "--tag", name, context])?;
    let mut files = table.model.files_of(base);
    let path = format!("/w/{context}");
    files.apply(&[Change::Write { path, content: copied.to_owned(), mode: 0o644, owner: 0, time: None }]);
    files.apply(changes);
    learn_built(table, name, &id, &files)?;
    let (context, base) = (context.to_owned(), base.to_owned());
    table.model.builds.push(Build { context, base, base_id, id, files });
    Ok(())
}

fn rebuild(table: &mut Table, number: usize, name: &str) -> Result<(), Fault> {
    let build = table.model.builds[number].clone();
    let is_cached = table.model.descends(&build.id, &build.base_id);
    let id = table.succeeds(&["build", "--quiet", "--network", "none", "--tag", name, &build.context])?;
    if is_cached {
        table.equal("the ID of what the cache holds", &build.id, &id)?;
    }
    learn_built(table, name, &id, &build.files)?;
    table.model.builds[number].id = id;
    Ok(())
}

/// A build leaves an image of each step.
fn learn_built(table: &mut Table, name: &str, id: &str, files: &Files) -> Result<(), Fault> {
    let mut chain = vec![id.to_owned()];
    loop {
        let parent = table.sees(&["image", "inspect", "--format", "{{.Parent}}", &chain[chain.len() - 1]])?;
        let is_known = table.model.images.contains_key(&parent);
        if !parent.is_empty() {
            chain.push(parent.clone());
        }
        if is_known || parent.is_empty() {
            break;
        }
    }
    for pair in chain.windows(2).rev() {
        table.model.add_image(&pair[0], files.clone(), Some(pair[1].clone()));
    }
    table.names_image(name, id, files.clone(), None);
    Ok(())
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

/// `cap_net_raw+ep` of revision 2 (linux/capability.h, `struct vfs_cap_data`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The tar of a file of today's that has a capability.
fn capable_file(name: &str, content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(TIMES_END);
    let written = tar
        .append_pax_extensions([("SCHILY.xattr.security.capability", &CAPABILITY[..])])
        .and_then(|()| tar.append_data(&mut header, name, content.as_bytes()))
        .and_then(|()| tar.into_inner());
    written.unwrap_or_else(|error| panic!("a tar in memory: {error}"))
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
