//! What whoever has the turn says of everything: images with configuration, history and saved bytes, containers with
//! their files, differences and logs, volumes.
//!
//! Each thing that is said stands under its own heading, so that two sights are compared heading by heading.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::files::{Diff, Files, file_line};
use super::model::{Model, State};
use super::probe;
use super::table::{Fault, Table};

/// What was seen, by heading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, String>);

impl Seen {
    /// Looks at everything, into what `save` gives of the images `saved`, and at the layer of a commit of `committed`; nothing may run.
    pub fn look(table: &Table, saved: &[String], committed: &[String]) -> Result<Seen, Fault> {
        let mut seen = Seen::default();
        seen.images(table)?;
        for name in saved {
            seen.saved(table, name)?;
        }
        seen.containers(table)?;
        seen.volumes(table)?;
        // At last, since it makes an image, if only for a moment.
        for name in committed {
            let layer = probe::layer(table, name, &expected(table, name))?;
            seen.add(&format!("container {name}: layer of a commit"), layer);
        }
        Ok(seen)
    }

    /// What the model says must be seen; what it does not know has no heading there.
    pub fn of(model: &Model) -> Seen {
        let mut seen = Seen::default();
        let lines = |lines: Vec<String>| lines.join("\n");
        let names = model.names.iter().map(|(name, id)| format!("{name} {id}")).collect();
        seen.add("names of images", lines(names));
        seen.add("images", lines(model.images.keys().cloned().collect()));
        seen.add("containers", lines(model.containers.keys().cloned().collect()));
        seen.add("volumes", lines(model.volumes.keys().cloned().collect()));
        for (id, image) in &model.images {
            seen.add(&format!("image {id}: Parent"), quoted(image.parent.as_deref().unwrap_or_default()));
        }
        for (name, container) in &model.containers {
            let mut add = |what: &str, text: String| seen.add(&format!("container {name}: {what}"), text);
            let (status, code) = match container.state {
                State::Created => ("created", 0),
                State::Running => ("running", 0),
                State::Exited(code) => ("exited", code),
            };
            add("Image", quoted(&container.image));
            add("State.Status", quoted(status));
            add("State.ExitCode", code.to_string());
            add("log", container.log.clone());
            add("files", lines(container.files.lines()));
            add("diff", lines(container.files.diff(&model.images[&container.image].files).lines));
        }
        seen
    }

    /// Headings under which the other says something else, or nothing, in words; only those of `self` count.
    pub fn differences(&self, observed: &Seen) -> Vec<Fault> {
        let differs = |(heading, text): (&String, &String)| match observed.0.get(heading) {
            None => Some(Fault::new(heading, text, "no such thing")),
            Some(other) if other == text => None,
            Some(other) => match (lines_without(text, other), lines_without(other, text)) {
                (expected, observed) if expected == observed => Some(Fault::new(heading, text, other)),
                (expected, observed) => Some(Fault::new(heading, expected, observed)),
            },
        };
        self.0.iter().filter_map(differs).collect()
    }

    /// Headings that only one of both has, or under which they say different things.
    pub fn disagreements(&self, observed: &Seen) -> Vec<Fault> {
        let new = observed.0.iter().filter(|(heading, _)| !self.0.contains_key(*heading));
        let new = new.map(|(heading, text)| Fault::new(heading, "no such thing", text));
        self.differences(observed).into_iter().chain(new).collect()
    }

    fn add(&mut self, heading: &str, text: impl Into<String>) {
        self.0.insert(heading.to_owned(), text.into());
    }

    /// Each value of a JSON text under a heading of its own.
    fn add_json(&mut self, heading: &str, value: &Value) {
        let mut rest = vec![(String::new(), value)];
        while let Some((path, value)) = rest.pop() {
            let dot = if path.is_empty() { "" } else { "." };
            match value {
                Value::Object(fields) if !fields.is_empty() => {
                    rest.extend(fields.iter().map(|(name, value)| (format!("{path}{dot}{name}"), value)));
                }
                value => self.add(&format!("{heading}: {path}"), value.to_string()),
            }
        }
    }

    fn images(&mut self, table: &Table) -> Result<(), Fault> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let listed = lines(table, &["images", "--no-trunc", "--format", format])?;
        let named = listed.into_iter().filter(|line| !line.starts_with("<none>"));
        self.add("names of images", named.collect::<Vec<_>>().join("\n"));
        let table_format = "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}} {{.CreatedAt}} {{.Size}}";
        let listed = lines(table, &["images", "--all", "--digests", "--no-trunc", "--format", table_format])?;
        self.add("docker images --all --digests", listed.join("\n"));
        let mut ids = lines(table, &["images", "--all", "--quiet", "--no-trunc"])?;
        ids.dedup();
        self.add("images", ids.join("\n"));
        for value in inspected(table, "image", &ids)? {
            let id = value["Id"].as_str().unwrap_or_default().to_owned();
            self.add_json(&format!("image {id}"), &value);
            if value["RepoTags"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let format = "{{.ID}} {{.CreatedAt}} {{.Size}} {{.CreatedBy}} {{.Comment}}";
            let history = said(table, &["history", "--no-trunc", "--human=false", "--format", format, &id])?;
            self.add(&format!("image {id}: history"), history);
        }
        Ok(())
    }

    /// Name, kind, time, target and content of each file of an archive; a link has the time of day with dockerd.
    fn saved(&mut self, table: &Table, name: &str) -> Result<(), Fault> {
        let said = table.looks(&["save", name])?;
        if said.code != 0 {
            self.add(&format!("archive of {name}"), said.errors);
            return Ok(());
        }
        let mut members = Vec::new();
        let broken = Fault::io(format!("the archive of docker save {name}"));
        let mut archive = tar::Archive::new(said.output.as_slice());
        for entry in archive.entries().map_err(&broken)? {
            let mut entry = entry.map_err(&broken)?;
            let kind = entry.header().entry_type();
            let time = if kind.is_symlink() { 0 } else { entry.header().mtime().unwrap_or_default() };
            let target = entry.link_name().map_err(&broken)?.unwrap_or_default().into_owned();
            let path = entry.path().map_err(&broken)?.into_owned();
            let digest = digest_of(&mut entry).map_err(&broken)?;
            members.push(format!("{} {kind:?} {time} {} {digest}", path.display(), target.display()));
        }
        self.add(&format!("archive of {name}"), members.join("\n"));
        Ok(())
    }

    fn containers(&mut self, table: &Table) -> Result<(), Fault> {
        let names = lines(table, &["ps", "--all", "--format", "{{.Names}}"])?;
        self.add("containers", names.join("\n"));
        let format =
            "{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.CreatedAt}} {{.State}} {{.Size}} {{.Mounts}} {{.Networks}}";
        let listed = lines(table, &["ps", "--all", "--size", "--format", format])?;
        self.add("docker ps --all --size", listed.join("\n"));
        for mut value in inspected(table, "container", &names)? {
            if value["State"]["Status"] == "created" {
                // dockerd tells it of a container that was never started as soon as somebody asked for its logs.
                value["LogPath"].take();
            }
            let name = value["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
            self.add_json(&format!("container {name}"), &value);
        }
        for name in &names {
            let mut diff = lines(table, &["diff", name])?;
            let or = expected(table, name).or;
            diff.retain(|line| !or.contains(line));
            diff.sort_by(|one, other| one[2..].cmp(&other[2..]));
            self.add(&format!("container {name}: diff"), diff.join("\n"));
            self.add(&format!("container {name}: log"), raw(table, &["logs", name])?);
            self.exported(table, name)?;
        }
        Ok(())
    }

    /// The digest of the whole export, and of what the campaign changes the contents.
    fn exported(&mut self, table: &Table, name: &str) -> Result<(), Fault> {
        let said = table.looks(&["export", name])?;
        if said.code != 0 {
            self.add(&format!("container {name}: export"), said.errors);
            return Ok(());
        }
        let broken = Fault::io(format!("the archive of docker export {name}"));
        self.add(&format!("container {name}: export"), hex::encode(Sha256::digest(&said.output)));
        let mut contents: BTreeMap<String, String> = BTreeMap::new();
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(said.output.as_slice());
        for entry in archive.entries().map_err(&broken)? {
            let mut entry = entry.map_err(&broken)?;
            let path = format!("/{}", entry.path().map_err(&broken)?.display());
            let path = path.trim_end_matches('/').to_owned();
            if !Files::has_in_view(&path) {
                continue;
            }
            let target = entry.link_name().map_err(&broken)?.unwrap_or_default().display().to_string();
            let records = entry.pax_extensions().map_err(&broken)?.into_iter().flatten().flatten();
            let capable = records.into_iter().any(|record| record.key() == Ok("SCHILY.xattr.security.capability"));
            let header = entry.header().clone();
            // Docker writes the type of a file into its mode, as Go did until 1.9.
            let (mode, owner) = (header.mode().map_err(&broken)? & 0o7777, header.uid().map_err(&broken)?);
            let line = match header.entry_type() {
                tar::EntryType::Directory => format!("{path} directory"),
                tar::EntryType::Symlink => format!("{path} -> {target}"),
                tar::EntryType::Fifo => format!("{path} p"),
                tar::EntryType::Char => {
                    let number = |number: std::io::Result<Option<u32>>| number.ok().flatten().unwrap_or_default();
                    format!("{path} c {} {}", number(header.device_major()), number(header.device_minor()))
                }
                kind => {
                    let mut content = contents.get(&format!("/{target}")).cloned().unwrap_or_default();
                    if kind.is_file() {
                        entry.read_to_string(&mut content).map_err(&broken)?;
                    }
                    contents.insert(path.clone(), content.clone());
                    let is_pulled = content.contains("layerlab userland");
                    let time = header.mtime().ok();
                    match is_pulled {
                        true => format!("{path} as pulled"),
                        false => file_line(&path, mode, owner, time, capable, &content),
                    }
                }
            };
            files.insert(path, line);
        }
        self.add(&format!("container {name}: files"), files.into_values().collect::<Vec<_>>().join("\n"));
        Ok(())
    }

    fn volumes(&mut self, table: &Table) -> Result<(), Fault> {
        let names = lines(table, &["volume", "ls", "--quiet"])?;
        self.add("volumes", names.join("\n"));
        for value in inspected(table, "volume", &names)? {
            let name = value["Name"].as_str().unwrap_or_default().to_owned();
            self.add_json(&format!("volume {name}"), &value);
        }
        Ok(())
    }
}

/// What a container's `docker diff` must list, and may.
fn expected(table: &Table, name: &str) -> Diff {
    let known = table.model.containers.get(name);
    known.map(|container| container.files.diff(&table.model.images[&container.image].files)).unwrap_or_default()
}

/// The lines that the other text has not.
fn lines_without(text: &str, other: &str) -> String {
    let only = text.lines().filter(|line| !other.lines().any(|of| of == *line));
    only.collect::<Vec<_>>().join("\n")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn raw(table: &Table, words: &[&str]) -> Result<String, Fault> {
    let said = table.looks(words)?;
    match said.code {
        0 => Ok(String::from_utf8_lossy(&said.output).into_owned()),
        code => Ok(format!("exit code {code}: {}", said.errors)),
    }
}

fn said(table: &Table, words: &[&str]) -> Result<String, Fault> {
    Ok(raw(table, words)?.trim().to_owned())
}

/// The lines of an output, sorted: dockerd gives many in any order.
fn lines(table: &Table, words: &[&str]) -> Result<Vec<String>, Fault> {
    let mut lines: Vec<String> = said(table, words)?.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// What `inspect` says of these; lists that have no order are sorted.
fn inspected(table: &Table, kind: &str, names: &[String]) -> Result<Vec<Value>, Fault> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = [kind, "inspect"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let text = raw(table, &words)?;
    let mut values: Vec<Value> = serde_json::from_str(&text)
        .map_err(|error| Fault::new(format!("docker {}", words.join(" ")), "JSON", format!("{error}: {text}")))?;
    for value in &mut values {
        for list in ["RepoTags", "RepoDigests", "Mounts"] {
            if let Some(list) = value.get_mut(list).and_then(Value::as_array_mut) {
                list.sort_by_key(Value::to_string);
            }
        }
    }
    Ok(values)
}

fn digest_of(content: &mut impl Read) -> std::io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sights_are_compared_heading_by_heading() {
        let sight = |pairs: &[(&str, &str)]| {
            let mut seen = Seen::default();
            pairs.iter().for_each(|(heading, text)| seen.add(heading, *text));
            seen
        };
        let (before, after) = (sight(&[("a", "1"), ("b", "2")]), sight(&[("b", "3"), ("c", "4")]));
        let faults = before.disagreements(&after);
        let told: Vec<_> = faults.iter().map(|fault| (fault.what.as_str(), fault.observed.as_str())).collect();
        assert_eq!(told, [("a", "no such thing"), ("b", "3"), ("c", "4")]);
        assert_eq!(before.differences(&after).len(), 2);
    }

    #[test]
    fn every_value_of_an_inspection_has_a_heading() {
        let mut seen = Seen::default();
        seen.add_json("image x", &serde_json::json!({"Id": "x", "Config": {"Env": ["a"], "Labels": {}}}));
        let headings: Vec<_> = seen.0.iter().map(|(heading, text)| format!("{heading} = {text}")).collect();
        assert_eq!(headings, ["image x: Config.Env = [\"a\"]", "image x: Config.Labels = {}", "image x: Id = \"x\""]);
    }
}
