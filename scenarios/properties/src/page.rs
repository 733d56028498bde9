//! A counterexample as a page for `scenarios/cases/regressions`: the steps typed into containers, and as the laws take them.
//!
//! *Holds*: a page says what must come, by the model, so that it passes where the law holds and fails where it is broken. What a shell
//! cannot say is left to the laws, and the page says so. Its block of `steps` has a step a line, as JSON, with what it gives; the
//! simulator and the laws replay it. *Proved by*: `tests/pages.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use layerlab_model::changes::{self, Content, Leaf, Names};
use layerlab_model::errno::Errno;
use layerlab_model::inode::{Node, Stamp};
use layerlab_model::operation::{Answer, Step, User};
use layerlab_model::process::Machine;
use layerlab_model::promises::Promises;
use layerlab_model::store::digest;
use layerlab_model::text::Text;
use layerlab_scenarios::page::{DRIVERS, Page, PageError};
use serde::{Deserialize, Serialize};

use crate::console::{Line, ROOT, Said, said};
use crate::counterexample::Counterexample;
use crate::tree::shown;

/// A line of a `steps` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The step.
    #[serde(flatten)]
    pub step: Step,
    /// What it gives on the simulator: `ok` and what was read, or why it is refused.
    pub gives: String,
}

/// What a step gives, in the words of [`Told`].
pub fn outcome(result: &Result<Answer, Errno>) -> String {
    match result {
        Ok(Answer::Done) => "ok".to_owned(),
        Ok(Answer::Count(count)) => format!("ok, {count} bytes"),
        Ok(Answer::Bytes(bytes)) => format!("ok, {}", shown(bytes)),
        Ok(Answer::Names(names)) => {
            format!("ok, {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Ok(Answer::Wrong(what)) => what.clone(),
        Err(errno) => errno.to_string(),
    }
}

/// A page whose steps cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StepsError {
    /// It is none.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A line is no step.
    #[error("{}:{line}: no step of the model: {source}", path.display())]
    Line {
        /// The page.
        path: PathBuf,
        /// Line of the page, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The folder of pages cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The steps that a page holds for the model; none where it needs a process.
pub fn steps_of(page: &Page) -> Result<Vec<Told>, StepsError> {
    let read = |(line, text): &(usize, String)| {
        serde_json::from_str(text).map_err(|source| StepsError::Line { path: page.path.clone(), line: *line, source })
    };
    page.model_steps.iter().map(read).collect()
}

/// The pages of `folder` that hold steps for the model, by name. A folder that is not there has none.
pub fn all_of(folder: &Path) -> Result<Vec<(Page, Vec<Told>)>, StepsError> {
    let failed = |source| StepsError::Folder { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let mut pages = Vec::new();
    for path in paths {
        let page = Page::read(path)?;
        let steps = steps_of(&page)?;
        pages.push((page, steps));
    }
    pages.retain(|(_, steps)| !steps.is_empty());
    Ok(pages)
}

impl Counterexample {
    /// The page, `claim` being its title: what holds where nothing is wrong.
    pub fn page(&self, claim: &str) -> String {
        let own = self.subject.strip_prefix("layerlab-").filter(|own| DRIVERS.contains(own));
        let driver = own.unwrap_or(DRIVERS[0]);
        let said = match driver {
            "overlay" => Err("layers of Docker's legacy driver are not what the model has".to_owned()),
            driver => said(&self.steps, driver != "vfs"),
        };
        let has_users = self.steps.iter().any(|step| step.user == User::Other)
            || said.as_ref().is_ok_and(|said| said.tree.values().any(|leaf| (leaf.meta.uid, leaf.meta.gid) != (0, 0)));
        let law = self.law.as_deref().unwrap_or("none: the case could not go on");
        let mut text = format!("---\ntargets: layerlab, docker\ndriver: {driver}\n");
        if has_users && said.is_ok() {
            text += "users: several\n";
        }
        let Counterexample { subject, backing, seed, kernel, .. } = self;
        let _ = writeln!(text, "law: {law}\nsubject: {subject} on {backing}\nseed: {seed}\nkernel: {kernel}\n---\n");
        let _ = writeln!(text, "# {claim}\n\nFound by this law with this subject, where it was not so:\n\n```text");
        self.findings.iter().for_each(|finding| push(&mut text, finding));
        text += "```\n\n";
        match said {
            Ok(said) => console(&mut text, &said),
            Err(why) => {
                let _ = writeln!(text, "It needs the laws to be replayed, since {why}.\n");
            }
        }
        text += "As the simulator and the laws replay it:\n\n```steps\n";
        let mut machine = Machine::new(Promises::COMMON);
        for step in &self.steps {
            let told = Told { step: step.clone(), gives: outcome(&machine.step(step)) };
            push(&mut text, &serde_json::to_string(&told).unwrap_or_default());
        }
        text + "```\n"
    }

    /// What is claimed when nobody says it better.
    pub fn claim(&self) -> String {
        let law = self.law.as_deref().unwrap_or("a case goes on").replace('-', " ");
        let words: Vec<&str> = self.steps.iter().map(|step| step.operation.word()).collect();
        let law = law[..1].to_uppercase() + &law[1..];
        format!("{law}, also after {}", words.join(", "))
    }
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The steps in containers, one for each layer.
fn console(text: &mut String, said: &Said) {
    *text += "```lab\ninstall docker\nstart docker\n```\n\n```console\n# docker pull -q centos\ndocker.io/library/centos:latest\n";
    let mut layer = 1;
    begin(text, layer, "centos");
    let _ = writeln!(text, "\n# docker exec case-1 mkdir {ROOT}");
    for line in &said.lines {
        match line {
            Line::Exec { user, command, prints } => {
                let user = if *user == User::Other { "-u 1000:1000 " } else { "" };
                let _ = writeln!(text, "\n# docker exec {user}case-{layer} {command}");
                match prints {
                    None => *text += "? exit 1\n...\n",
                    Some(lines) => {
                        if lines.len() > 1 {
                            *text += "? unordered\n";
                        }
                        lines.iter().for_each(|line| push(text, line));
                    }
                }
            }
            Line::Remount => {
                let _ = writeln!(
                    text,
                    "\n# docker stop -t 0 case-{layer}\ncase-{layer}\n\n# docker start case-{layer}\ncase-{layer}"
                );
            }
            Line::Commit => {
                let _ = writeln!(text, "```\n\nThe layer becomes a lower one.\n\n```console");
                let _ = writeln!(text, "# docker commit case-{layer} case:{layer}\n[[:digest]]\n");
                let _ = writeln!(text, "# docker rm -f case-{layer}\ncase-{layer}");
                let image = format!("case:{layer}");
                layer += 1;
                begin(text, layer, &image);
            }
        }
    }
    *text += "```\n\nThis is there in the end, and nothing else.\n\n```console\n";
    let mut last = String::new();
    listing(&mut last, layer, said);
    if layer > 1 {
        changed(&mut last, layer, said);
    }
    *text += last.trim_start();
    *text += "```\n\n";
}

fn begin(text: &mut String, layer: usize, image: &str) {
    let _ = writeln!(text, "\n# docker run -d --name case-{layer} {image} sleep 1000\n[[:id]]");
}

fn listing(text: &mut String, layer: usize, said: &Said) {
    let tree = &said.tree;
    let is_directory = |leaf: &Leaf| leaf.content == Content::Directory;
    let directories: Vec<String> = tree
        .iter()
        .filter(|(_, leaf)| is_directory(leaf))
        .map(|(names, leaf)| format!("{} {}", face(leaf), path(names)))
        .collect();
    let command = format!("find {ROOT} -type d -exec stat -c \"%A %u:%g %n\" {{}} +");
    lines(text, layer, &command, &directories);
    let others: Vec<String> = tree
        .iter()
        .filter(|(_, leaf)| !is_directory(leaf))
        .map(|(names, leaf)| {
            let links = said.links.get(names).copied().unwrap_or_default();
            let (size, target) = match &leaf.content {
                Content::File(bytes) => (bytes.len(), String::new()),
                Content::Symlink(to) => {
                    let to = below_root(to);
                    (to.len(), format!(" -> '{to}'"))
                }
                _ => (0, String::new()),
            };
            format!("{} {links} {size} '{}'{target}", face(leaf), path(names))
        })
        .collect();
    let command = format!("find {ROOT} ! -type d -exec stat -c \"%A %u:%g %h %s %N\" {{}} +");
    lines(text, layer, &command, &others);
    let contents: Vec<String> = tree
        .iter()
        .filter_map(|(names, leaf)| match &leaf.content {
            Content::File(bytes) if !bytes.is_empty() => {
                Some(format!("{}  {}", digest(bytes).trim_start_matches("sha256:"), path(names)))
            }
            _ => None,
        })
        .collect();
    if !contents.is_empty() {
        lines(text, layer, &format!("find {ROOT} -type f ! -empty -exec sha256sum {{}} +"), &contents);
    }
    let times = tree.iter().filter_map(|(names, leaf)| match leaf.meta.mtime {
        Stamp::Set(time) => Some((path(names), time.seconds)),
        Stamp::Clock(_) => None,
    });
    let (paths, times): (Vec<String>, Vec<String>) =
        times.map(|(path, seconds)| (path.clone(), format!("{seconds} {path}"))).unzip();
    if !paths.is_empty() {
        lines(text, layer, &format!("stat -c \"%Y %n\" {}", paths.join(" ")), &times);
    }
}

/// What `docker diff` says, unless times decide that a typist may miss.
fn changed(text: &mut String, layer: usize, said: &Said) {
    let is_a_matter_of_time = said.tree.iter().any(|(names, leaf)| {
        said.below.get(names).is_some_and(|old| {
            old.meta.mtime != leaf.meta.mtime && !changes::lstat_tells(&with_time_of(old, leaf), leaf)
        })
    });
    if is_a_matter_of_time {
        return;
    }
    let changes = changes::compared(&said.below, &said.tree);
    // Where Docker misses what this engine tells, or may miss it, a page for both has nothing to say.
    let is_another =
        |names: &[Text]| said.below.get(names).map(|old| old.file) != said.tree.get(names).map(|new| new.file);
    if changes::seen(&said.below, &said.tree, is_another) != changes {
        return;
    }
    let mut told: Vec<String> = changes.iter().map(|(letter, names)| format!("{letter:?} {}", path(names))).collect();
    let roots = [&said.below, &said.tree].map(|tree| tree.get(&Names::new()));
    let is_root_changed = matches!(roots, [Some(old), Some(new)] if changes::lstat_tells(old, new));
    if !told.is_empty() || is_root_changed {
        told.insert(0, format!("C {ROOT}"));
    }
    let _ = writeln!(text, "\n# docker diff case-{layer}");
    if told.len() > 1 {
        *text += "? unordered\n";
    }
    told.iter().for_each(|line| push(text, line));
}

fn with_time_of(one: &Leaf, other: &Leaf) -> Leaf {
    let mut leaf = one.clone();
    leaf.meta.mtime = other.meta.mtime;
    leaf
}

fn lines(text: &mut String, layer: usize, command: &str, lines: &[String]) {
    let _ = writeln!(text, "\n# docker exec case-{layer} {command}");
    if lines.len() > 1 {
        *text += "? unordered\n";
    }
    lines.iter().for_each(|line| push(text, line));
}

fn path(names: &[Text]) -> String {
    names.iter().fold(ROOT.to_owned(), |path, name| format!("{path}/{name}"))
}

fn below_root(target: &Text) -> String {
    match target.as_bytes() {
        b"/" => ROOT.to_owned(),
        bytes if bytes.starts_with(b"/") => format!("{ROOT}{target}"),
        _ => target.to_string(),
    }
}

/// Type, mode and owner, as `stat` shows them.
fn face(leaf: &Leaf) -> String {
    let kind = match &leaf.content {
        Content::File(_) => '-',
        Content::Directory => 'd',
        Content::Symlink(_) => 'l',
        Content::Node(Node::Fifo) => 'p',
        Content::Node(Node::Socket) => 's',
        Content::Node(Node::Character { .. }) => 'c',
        Content::Node(Node::Block { .. }) => 'b',
    };
    let mode = leaf.meta.mode;
    let mut text = String::from(kind);
    for (shift, special, lower, upper) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => lower,
            (false, true) => upper,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    format!("{text} {}:{}", leaf.meta.uid, leaf.meta.gid)
}
