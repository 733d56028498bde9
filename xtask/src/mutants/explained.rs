//! Why nobody sees some mutants, by file and by what is changed: lines move.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::survey::Mutant;

/// Every explanation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// In the order of the file.
    #[serde(default)]
    pub survivor: Vec<Survivor>,
}

/// Why nobody sees what is changed in one way in a function; all places in it that are changed alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivor {
    /// The file, below the root of the workspace.
    pub file: String,
    /// What is changed, in the words of cargo-mutants.
    pub change: String,
    /// Why nobody sees it.
    pub why: String,
}

impl Explained {
    /// What is kept at `path`.
    pub fn read(path: &Path) -> anyhow::Result<Explained> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Explained::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Reads them; one that says nothing, and two of one place, are refused.
    pub fn parse(text: &str) -> anyhow::Result<Explained> {
        let read: Explained = toml::from_str(text)?;
        for (at, survivor) in read.survivor.iter().enumerate() {
            let Survivor { file, change, why } = survivor;
            ensure!(!why.trim().is_empty() && !why.contains('\n'), "{file}: {change}: say why, in one line");
            let is_twice = read.survivor[..at].iter().any(|other| (&other.file, &other.change) == (file, change));
            ensure!(!is_twice, "{file}: {change} is explained twice");
        }
        Ok(read)
    }

    /// Why nobody sees this one.
    pub fn why(&self, mutant: &Mutant) -> Option<&str> {
        self.survivor.iter().find(|survivor| survivor.is_of(mutant)).map(|survivor| survivor.why.as_str())
    }
}

impl Survivor {
    /// Whether this is about it.
    pub fn is_of(&self, mutant: &Mutant) -> bool {
        self.file == mutant.file && self.change == mutant.change
    }

    /// Whether a line of the report is about such a one, and says why.
    #[cfg(test)]
    pub fn is_told_in(&self, line: &str) -> bool {
        let Survivor { file, change, why } = self;
        line.starts_with(&format!("- `{file}:")) && line.ends_with(&format!(" `` {change} ``: {why}"))
    }
}
