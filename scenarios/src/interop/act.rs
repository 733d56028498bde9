//! What whoever has the turn may do, with all that was drawn for it: a command or two of Docker's each.

use super::files::{Change, script};
use super::mark::Mark;
use super::model::{Container, State, VolumeFile};
use super::table::Table;

/// What a container ends with that was killed.
pub const KILLED: i32 = 137;

/// One act, with all that was drawn for it.
#[derive(Debug, Clone)]
pub enum Act {
    Pull(String),
    Create(Plan),
    /// `run`, with what the first process exits with.
    Run(Plan),
    /// `run -d` of something that sleeps when it has done its work.
    RunDetached(Plan),
    Start(String),
    Exec {
        container: String,
        changes: Vec<Change>,
    },
    Stop(String),
    Remove(String),
    Rename {
        container: String,
        to: String,
    },
    Commit {
        container: String,
        name: String,
    },
    Tag {
        name: String,
        to: String,
    },
    /// `tag` and `push`, so that either can pull it.
    Push {
        name: String,
        to: String,
    },
    Build {
        base: String,
        name: String,
        context: String,
        copied: String,
        changes: Vec<Change>,
    },
    /// The same context once more, for the cache.
    Rebuild {
        build: usize,
        name: String,
    },
    Save {
        names: Vec<String>,
        file: String,
    },
    Load(String),
    /// `export`, and `import` of what came out, with a file more that has every mark.
    Transplant {
        container: String,
        name: String,
        path: String,
        content: String,
    },
    RemoveName(String),
    RemoveNameless(String),
    PruneImages,
    CopyIn {
        container: String,
        path: String,
        content: String,
        /// As a tar, which tells of an extended attribute of the file.
        mark: Option<Mark>,
    },
    CopyOut {
        container: String,
        path: String,
    },
    RemoveVolume(String),
}

/// A container to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub image: String,
    pub changes: Vec<Change>,
    pub says: String,
    pub code: i32,
    /// `--network none`; else a bridge.
    pub alone: bool,
    pub volume: Option<VolumeFile>,
}

impl Plan {
    fn script(&self, sleeps: bool) -> String {
        let volume = self.volume.iter().map(|file| format!("printf {} > /data/{}; ", file.content, file.file));
        let end = if sleeps { "exec sleep 1000".to_owned() } else { format!("exit {}", self.code) };
        format!("{}{}; echo {}; {end}", volume.collect::<String>(), script(&self.changes), self.says)
    }

    /// `verb --name NAME … IMAGE sh -c SCRIPT`.
    pub fn words(&self, verb: &[&str], sleeps: bool) -> Vec<String> {
        let mut words: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["--name".into(), self.name.clone()]);
        if self.alone {
            words.extend(["--network".into(), "none".into()]);
        }
        if let Some(file) = &self.volume {
            words.extend(["--volume".into(), format!("{}:/data", file.volume)]);
        }
        words.extend([self.image.clone(), "sh".into(), "-c".into(), self.script(sleeps)]);
        words
    }

    pub fn container(&self, table: &Table, code: Option<i32>) -> Container {
        Container {
            image: table.model.names[&self.image].clone(),
            files: table.model.files_of(&self.image),
            script: self.changes.clone(),
            state: State::Created,
            log: String::new(),
            says: format!("{}\n", self.says),
            code,
            volume: self.volume.clone(),
        }
    }
}
