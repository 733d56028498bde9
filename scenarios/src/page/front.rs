//! The front matter: what a page says about itself before its title.

use std::collections::BTreeMap;

use super::error::Complaint;

/// Every target that a page may name.
pub const TARGETS: [&str; 3] = ["layerlab", DOCKER, "podman"];

/// The target that shows what is right.
pub const DOCKER: &str = "docker";

/// Every storage driver that a page may name, the default first. The lab's data root lies on a tmpfs, unless the driver wants another file
/// system.
pub const DRIVERS: [&str; 5] = ["overlay2", "overlay", "vfs", "btrfs", "fuse-overlayfs"];

/// What a page that laws wrote says of where it comes from.
const ORIGIN: [&str; 4] = ["law", "subject", "seed", "kernel"];

/// What stood between the `---` lines.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) source: Option<String>,
    pub(super) targets: Vec<String>,
    /// The page gives files or processes to other users than root.
    pub(super) has_users: bool,
    /// The page does what only root of the machine may.
    pub(super) needs_root: bool,
    pub(super) drivers: Vec<&'static str>,
    pub(super) origin: BTreeMap<&'static str, String>,
}

impl Default for Front {
    fn default() -> Self {
        Front {
            source: None,
            targets: TARGETS.map(str::to_owned).to_vec(),
            has_users: false,
            needs_root: false,
            drivers: Vec::new(),
            origin: BTreeMap::new(),
        }
    }
}

impl Front {
    /// Takes in `key: value` lines; `first_line` is the page line of the first of them.
    pub(super) fn take(&mut self, text: &str, first_line: usize) -> Result<(), Complaint> {
        for (line, content) in (first_line..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
            let (key, value) = content.split_once(':').ok_or_else(|| {
                Complaint::new(line, format!("'{content}': a line of the front matter is `key: value`"))
            })?;
            match key.trim() {
                "source" => self.source = Some(value.trim().to_owned()),
                "targets" => self.targets = targets(value).map_err(|what| Complaint::new(line, what))?,
                "driver" => self.drivers = drivers(value).map_err(|what| Complaint::new(line, what))?,
                "users" if value.trim() == "several" => self.has_users = true,
                "users" if value.trim() == "root" => self.needs_root = true,
                other if let Some(key) = ORIGIN.iter().find(|key| **key == other) => {
                    self.origin.insert(key, value.trim().to_owned());
                }
                // For `cargo xtask checklist`, which reads it itself.
                "checklist" => {}
                other => {
                    let known = "there are source, targets, driver, checklist, `users: several`, `users: root`, law, subject, seed and kernel";
                    return Err(Complaint::new(line, format!("no key '{other}' with this value; {known}")));
                }
            }
        }
        Ok(())
    }
}

fn targets(value: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().find(|name| !TARGETS.contains(&name.as_str())) {
        Some(unknown) => Err(format!("no target '{unknown}'; there are {}", TARGETS.join(", "))),
        None => Ok(names),
    }
}

/// The driver called `name`, in the word of the house; the error names all there are.
pub fn driver(name: &str) -> Result<&'static str, String> {
    let known = DRIVERS.into_iter().find(|driver| *driver == name);
    known.ok_or_else(|| format!("no storage driver '{name}' in a lab; there are {}", DRIVERS.join(", ")))
}

fn drivers(value: &str) -> Result<Vec<&'static str>, String> {
    value.split(',').map(|name| driver(name.trim())).collect()
}
