//! What a killed act may have left half-made, and whether a repair clears that away and touches nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::disk::Disk;
use super::player::{Who, ask};
use super::table::{Fault, Table};

/// What has come onto the disk since the act began, and what belongs to the container whose monitor was killed.
#[derive(Debug, Default)]
pub struct Remains {
    new: BTreeSet<PathBuf>,
    /// IDs of that container, and of what it is mounted on.
    ids: Vec<String>,
}

impl Remains {
    /// From all paths before the act and now.
    pub fn of(before: &BTreeSet<PathBuf>, disk: &Disk, container: Option<&str>) -> Remains {
        let new = disk.all_paths().difference(before).cloned().collect();
        Remains { new, ids: container.map(|name| disk.ids_of(name)).unwrap_or_default() }
    }

    /// What an earlier kill left, too.
    pub fn add(&mut self, other: Option<Remains>) {
        let Remains { new, ids } = other.unwrap_or_default();
        self.new.extend(new);
        self.ids.extend(ids);
    }

    /// Whether this path below the data root, or something above it, is of the killed act.
    fn has(&self, path: &Path) -> bool {
        let is_of_container = || {
            let mut names = path.iter().map(|name| name.to_string_lossy());
            names.any(|name| self.ids.iter().any(|id| *id == name))
        };
        path.ancestors().any(|path| self.new.contains(path)) || is_of_container()
    }

    /// Repairs: what is found and what is changed must be of the killed act, and afterwards nothing may be found. How much was found.
    pub fn mend(&self, table: &Table, disk: &Disk) -> Result<usize, Vec<Fault>> {
        let (found, faults) = self.mended(table, disk).map_err(|fault| vec![fault])?;
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }

    fn mended(&self, table: &Table, disk: &Disk) -> Result<(usize, Vec<Fault>), Fault> {
        let before = disk.everything()?;
        let found = check(table, &["check", "--format", "json"])?;
        let mut faults = self.strange(disk, &found.text())?;
        let said = check(table, &["check", "--repair"])?;
        if said.code != 0 {
            faults.push(Fault::new("layerlab check --repair", "mends everything", said.text() + &said.errors));
        }
        faults.extend(self.changes(&before, &disk.everything()?));
        let said = check(table, &["check"])?;
        if said.code != 0 {
            faults.push(Fault::new("layerlab check after a repair", "no fault found", said.text() + &said.errors));
        }
        Ok((found.text().lines().count(), faults))
    }

    /// What a check says, a finding a line, of what is none of the killed act's.
    fn strange(&self, disk: &Disk, findings: &str) -> Result<Vec<Fault>, Fault> {
        let mut faults = Vec::new();
        for line in findings.lines() {
            let finding: Value = serde_json::from_str(line).map_err(Fault::io("a finding of layerlab check"))?;
            let place = finding["Where"].as_str().unwrap_or_default();
            if !disk.below(Path::new(place)).is_some_and(|path| self.has(path)) {
                faults.push(Fault::new("what a check finds after a kill", "is of the killed act", line));
            }
        }
        Ok(faults)
    }

    /// What a repair did to what is none of the killed act's.
    fn changes(&self, before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) -> Vec<Fault> {
        let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
        let differ = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
        let others = differ.filter(|path| !self.has(path));
        let line = |lines: &BTreeMap<PathBuf, String>, path: &Path| lines.get(path).cloned().unwrap_or_default();
        let fault = |path: &PathBuf| {
            let what = format!("{} after a repair", path.display());
            Fault::new(what, line(before, path), line(after, path))
        };
        others.map(fault).collect()
    }
}

fn check(table: &Table, words: &[&str]) -> Result<super::player::Said, Fault> {
    ask(Who::Layerlab, words, &table.place, &[]).map_err(Fault::io("layerlab check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pairs: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        pairs.iter().map(|(path, line)| (PathBuf::from(path), (*line).to_owned())).collect()
    }

    #[test]
    fn a_finding_must_be_about_what_has_come_since_the_act_began() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("image/vfs")).unwrap();
        std::fs::create_dir_all(root.path().join("vfs/dir/old")).unwrap();
        let disk = Disk::read(root.path(), "vfs").unwrap();
        let before = disk.all_paths();
        std::fs::create_dir_all(root.path().join("vfs/dir/new/etc")).unwrap();
        let mut remains = Remains::default();
        remains.add(Some(Remains::of(&before, &disk, None)));
        let finding =
            |path: &str| format!("{{\"Fault\":\"content\",\"Where\":\"{}/{path}\"}}\n", root.path().display());
        assert_eq!(remains.strange(&disk, &finding("vfs/dir/new/etc/lost")).unwrap(), []);
        for strange in ["vfs/dir/old", "vfs/dir/old/etc", "vfs"] {
            assert_eq!(remains.strange(&disk, &finding(strange)).unwrap().len(), 1, "{strange}");
        }
        assert!(remains.strange(&disk, "no JSON\n").is_err());
    }

    #[test]
    fn a_repair_may_touch_what_the_killed_act_left_and_nothing_else() {
        let remains = Remains { new: BTreeSet::from(["vfs/dir/new".into()]), ids: vec!["c1".into()] };
        let before = lines(&[("vfs/dir/new/f", "1"), ("vfs/dir/old/f", "1"), ("containers/c1/config", "running")]);
        let after = lines(&[("vfs/dir/old/f", "1"), ("containers/c1/config", "exited")]);
        assert_eq!(remains.changes(&before, &after), []);
        let spoilt = lines(&[("vfs/dir/old/f", "2"), ("containers/c1/config", "exited"), ("added", "")]);
        let told: Vec<String> = remains.changes(&before, &spoilt).into_iter().map(|fault| fault.what).collect();
        assert_eq!(told, ["added after a repair", "vfs/dir/old/f after a repair"]);
    }
}
