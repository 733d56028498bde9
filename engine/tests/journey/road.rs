//! The stations of the journey, inside a lab: an image is pulled, run, changed, committed, saved, removed, loaded and run, and at each station
//! every attribute of every file is what it must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::goods::{self, Ability, TOP};
use super::losses::Losses;
use super::made::{self, Act};
use super::node::{Tree, differences};
use super::packed;
use super::seen;

/// An image of the lab that has a userland.
const BASE: &str = "centos";
/// What the image is called, and where the lab's registry has it.
const NAME: &str = "127.0.0.1:5000/goods:1";
const PATIENCE: Duration = Duration::from_secs(20);

/// A station where something is not as it must be.
pub type Fault = String;

/// Whoever carries images and containers: a command line.
#[derive(Debug, Clone)]
pub struct Engine {
    pub words: Vec<String>,
}

impl Engine {
    /// What `docker` is in the lab.
    pub fn of_the_lab() -> Engine {
        Engine { words: vec!["docker".into()] }
    }

    /// Our engine on a data root of its own, beside what the lab's `docker` is.
    pub fn beside(name: &str) -> Engine {
        let place = |kind: &str| format!("--{kind}-root=/var/lib/{name}-{kind}");
        let words = ["layerlab".into(), place("data"), place("exec"), "--storage-driver=overlay2".into()];
        Engine { words: words.into() }
    }

    /// What a command says; it must succeed.
    pub fn ask(&self, words: &[&str]) -> Result<Vec<u8>, Fault> {
        let output = self.command(words).output().map_err(|error| format!("{}: {error}", self.words[0]))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(format!("{words:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Our engine finds nothing wrong in its data root; dockerd cannot look.
    fn must_be_sound(&self, station: &str, losses: &Losses) -> Result<(), Fault> {
        if losses.is_dockerd {
            return Ok(());
        }
        let output = self.command(&["check"]).output().map_err(|error| format!("{}: {error}", self.words[0]))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{station}: {}", String::from_utf8_lossy(&output.stdout))),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(words);
        command
    }

    fn says(&self, words: &[&str]) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(&self.ask(words)?).trim().to_owned())
    }

    /// ID and diff IDs of an image.
    pub fn identity(&self, image: &str) -> Result<String, Fault> {
        self.says(&["image", "inspect", "--format", "{{.Id}} {{json .RootFS.Layers}}", image])
    }

    /// Where the files of a running container are seen as it sees them.
    fn root_of(&self, container: &str) -> Result<PathBuf, Fault> {
        let pid = self.says(&["inspect", "--format", "{{.State.Pid}}", container])?;
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let begun = Instant::now();
        while !root.join(TOP).is_dir() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{container} shows no /{TOP}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(root)
    }

    /// Runs a container that sleeps.
    fn run(&self, name: &str, image: &str) -> Result<(), Fault> {
        self.ask(&["run", "--detach", "--network", "none", "--name", name, image, "sleep", "1000"]).map(drop)
    }

    /// The tree that a container of the image has must be this.
    fn must_show(&self, station: &str, image: &str, expected: &Tree) -> Result<(), Fault> {
        self.run("looks", image)?;
        self.must_hold(station, "looks", expected)?;
        self.ask(&["rm", "--force", "looks"]).map(drop)
    }

    fn must_hold(&self, station: &str, container: &str, expected: &Tree) -> Result<(), Fault> {
        let root = self.root_of(container)?;
        let observed = seen::tree(&root, Path::new(TOP)).map_err(|error| format!("{station}: {error}"))?;
        match &*differences(expected, &observed) {
            "" => Ok(()),
            told => Err(format!("{station}, of {} names:\n{told}", expected.names().len())),
        }
    }
}

/// What a container made of a tree: the tree, and the names that a layer of it holds.
struct Changed {
    tree: Tree,
    names: BTreeSet<PathBuf>,
}

fn changed(before: &Tree, acts: &[Act]) -> Changed {
    let mut tree = before.clone();
    let mut names = BTreeSet::new();
    for act in acts {
        let touched = match act {
            Act::Make(path, node) | Act::Change(path, node) => {
                match act {
                    Act::Make(..) => tree.put(path, node.clone()),
                    _ => *tree.change(path) = node.clone(),
                }
                path
            }
            Act::Link { path, of } => {
                tree.link(path, of);
                path
            }
            Act::Remove(path) => {
                tree.remove(path);
                path
            }
            Act::Rename { from, to } => {
                tree.rename(from, to);
                names.extend(from.ancestors().skip(1).map(Path::to_owned));
                to
            }
        };
        names.extend(touched.ancestors().map(Path::to_owned));
    }
    Changed { tree, names }
}

/// Does the acts in a running container, and then sets back the times of directories, which what comes and goes in them moved.
fn perform(acts: &[Act], changed: &Changed, root: &Path) -> Result<(), Fault> {
    for act in acts {
        made::perform(act, root).map_err(|error| format!("{act:?}: {error}"))?;
    }
    for name in changed.names.iter().rev() {
        if let Some(node) = changed.tree.get(name).filter(|node| node.is_directory()) {
            made::give_time(&root.join(name), node).map_err(|error| format!("the time of {name:?}: {error}"))?;
        }
    }
    Ok(())
}

/// The image's archive, as `load` takes it.
fn archive(engine: &Engine, able: Ability) -> Result<Vec<u8>, Fault> {
    let base = engine.ask(&["save", BASE])?;
    let layers = goods::layers(able).map(|entries| packed::layer(&entries));
    Ok(packed::image(&base, NAME, &layers))
}

fn load(engine: &Engine, archive: &[u8]) -> Result<(), Fault> {
    let file = "/tmp/goods.tar";
    fs::write(file, archive).map_err(|error| format!("{file}: {error}"))?;
    engine.ask(&["load", "--quiet", "--input", file])?;
    fs::remove_file(file).map_err(|error| format!("{file}: {error}"))
}

/// The whole journey with one engine.
pub fn travel(engine: &Engine, able: Ability, losses: &Losses) -> Result<(), Fault> {
    engine.ask(&["pull", "--quiet", BASE])?;
    load(engine, &archive(engine, able)?)?;
    let identity = engine.identity(NAME)?;
    engine.ask(&["push", "--quiet", NAME])?;
    engine.ask(&["rmi", NAME])?;
    engine.ask(&["pull", "--quiet", NAME])?;
    same("the image pulled", &identity, &engine.identity(NAME)?)?;
    engine.must_be_sound("pulled", losses)?;
    let pulled = losses.at_unpacking(&goods::layers(able));

    engine.run("maker", NAME)?;
    engine.must_hold("pulled and run", "maker", &pulled)?;
    let acts = goods::acts(able);
    let changed = changed(&pulled, &acts);
    perform(&acts, &changed, &engine.root_of("maker")?)?;
    engine.must_hold("changed", "maker", &changed.tree)?;
    engine.ask(&["stop", "--time", "0", "maker"])?;
    engine.ask(&["start", "maker"])?;
    engine.must_hold("stopped and started", "maker", &changed.tree)?;
    engine.ask(&["commit", "maker", "made:1"])?;
    engine.ask(&["rm", "--force", "maker"])?;
    engine.must_be_sound("committed", losses)?;
    let committed = losses.at_commit(&changed.tree, &changed.names);
    engine.must_show("committed", "made:1", &committed)?;

    let identity = engine.identity("made:1")?;
    let file = "/tmp/made.tar";
    engine.ask(&["save", "--output", file, "made:1"])?;
    engine.ask(&["rmi", "made:1", NAME])?;
    engine.ask(&["load", "--quiet", "--input", file])?;
    same("the image loaded", &identity, &engine.identity("made:1")?)?;
    engine.must_be_sound("loaded", losses)?;
    engine.must_show("saved and loaded", "made:1", &committed)?;
    let saved = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    if engine.ask(&["save", "made:1"])? != saved {
        return Err("the archive saved again is another".into());
    }
    Ok(())
}

/// An image of ours goes through a dockerd and comes back as it was.
pub fn carried(able: Ability, losses: &Losses) -> Result<(), Fault> {
    let (sender, carrier, receiver) = (Engine::beside("sender"), Engine::of_the_lab(), Engine::beside("receiver"));
    sender.ask(&["pull", "--quiet", BASE])?;
    load(&sender, &archive(&sender, able)?)?;
    let pulled = losses.at_unpacking(&goods::layers(able));
    sender.run("maker", NAME)?;
    let acts = goods::acts(able);
    let changed = changed(&pulled, &acts);
    perform(&acts, &changed, &sender.root_of("maker")?)?;
    sender.ask(&["commit", "maker", "made:1"])?;
    sender.ask(&["rm", "--force", "maker"])?;
    let identity = sender.identity("made:1")?;
    for (from, to) in [(&sender, &carrier), (&carrier, &receiver)] {
        let file = "/tmp/made.tar";
        from.ask(&["save", "--output", file, "made:1"])?;
        to.ask(&["load", "--quiet", "--input", file])?;
        same("the image carried", &identity, &to.identity("made:1")?)?;
    }
    sender.must_be_sound("sent", losses)?;
    receiver.must_be_sound("received", losses)?;
    let committed = losses.at_commit(&changed.tree, &changed.names);
    receiver.must_show("carried by dockerd", "made:1", &committed)
}

fn same(what: &str, expected: &str, observed: &str) -> Result<(), Fault> {
    match expected == observed {
        true => Ok(()),
        false => Err(format!("{what}\n  expected {expected}\n  observed {observed}")),
    }
}
