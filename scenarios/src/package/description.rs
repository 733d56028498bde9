//! The text description of one package: a file below `scenarios/packages`, read and checked.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::PackageError;
use crate::image::entry::{Entry, WrittenEntry, check_layer};

/// What a package holds and in which repositories it stands.
#[derive(Debug, Clone)]
pub struct Package {
    pub summary: String,
    /// In the repositories for apt.
    pub deb: Option<Edition>,
    /// In the repository for yum.
    pub yum: Option<Edition>,
    pub files: Vec<Entry>,
}

/// The package as one package manager knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub depends: Vec<String>,
    /// For apt: `main` or `universe`.
    #[serde(default = "main")]
    pub component: String,
}

fn main() -> String {
    "main".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    summary: String,
    created: String,
    deb: Option<Edition>,
    yum: Option<Edition>,
    files: Vec<WrittenEntry>,
}

impl Package {
    /// Reads and checks the description at `path`.
    pub fn read(path: &Path) -> Result<Package, PackageError> {
        let text = std::fs::read_to_string(path).map_err(|error| PackageError::io("read", path, error))?;
        let written: Written = toml::from_str(&text)
            .map_err(|source| PackageError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        written.check().map_err(|what| PackageError::Invalid { path: path.to_owned(), what })
    }
}

impl Written {
    fn check(self) -> Result<Package, String> {
        let created: Timestamp =
            self.created.parse().map_err(|_| format!("created {:?} is no RFC 3339 time", self.created))?;
        let files: Vec<Entry> = self.files.iter().map(|entry| entry.check(created)).collect::<Result<_, _>>()?;
        check_layer(&files)?;
        for edition in [&self.deb, &self.yum].into_iter().flatten() {
            let good = |text: &str| !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace());
            if !good(&edition.name) || !good(&edition.version) {
                return Err(format!("{:?} {:?}: no name and version of a package", edition.name, edition.version));
            }
            if !super::repository::COMPONENTS.contains(&edition.component.as_str()) {
                return Err(format!("component {:?}: there are main and universe", edition.component));
            }
        }
        if self.deb.is_none() && self.yum.is_none() {
            return Err("a package without [deb] and [yum] stands in no repository: give it one of them".into());
        }
        Ok(Package { summary: self.summary, deb: self.deb, yum: self.yum, files })
    }
}
