//! `tar(layer)` is one that any reader takes: names are relative and written once, a directory comes before what is in it, a hard
//! link after the file that it leads to, which is none itself, a whiteout is an empty file and no link, and the end is marked.
//!
//! Checklist: HL-08, DF-10

use std::collections::BTreeMap;

use layerlab_model::operation::Operation;
use layerlab_model::text::Text;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;
use crate::tar::{self, Entry};

/// Types of entries (ustar).
const FILE: u8 = b'0';
const LINK: u8 = b'1';
const DIRECTORY: u8 = b'5';
const BLOCK_BYTES: usize = 512;

pub static LAW: WellFormed = WellFormed;

pub struct WellFormed;

impl Law for WellFormed {
    fn name(&self) -> &'static str {
        "layer-tars-are-well-formed"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let tar = frozen.newest_tar(Diff::Own)?;
        let entries = tar::entries(&tar.bytes).map_err(|error| vec![format!("the tar cannot be read: {error}")])?;
        let mut found = Vec::new();
        let mut before: BTreeMap<&Text, &Entry> = BTreeMap::new();
        for entry in &entries {
            let path = &entry.path;
            let mut say = |what: &str| found.push(format!("{path} in the tar {what}"));
            if path.as_bytes().split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")) {
                say("is no plain relative path");
            }
            let directory = entry.directory();
            if !directory.0.is_empty() && before.get(&directory).is_none_or(|above| above.kind != DIRECTORY) {
                say("comes before its directory, or without it");
            }
            let is_whiteout = entry.name().starts_with(b".wh.");
            if is_whiteout && (entry.kind != FILE || entry.size_bytes > 0) {
                say("is a whiteout and no empty file");
            }
            if entry.kind != FILE && entry.size_bytes > 0 {
                say("has content and is no file");
            }
            let target = entry.target.as_ref().and_then(|target| before.get(target));
            let is_good =
                |target: &Entry| ![DIRECTORY, LINK].contains(&target.kind) && !target.name().starts_with(b".wh.");
            if entry.kind == LINK && !target.is_some_and(|target| is_good(target)) {
                say("is a hard link to no file that came before it");
            }
            if before.insert(path, entry).is_some() {
                say("is there twice");
            }
        }
        let has_end = tar.bytes.len() % BLOCK_BYTES == 0 && tar.bytes.ends_with(&[0; 2 * BLOCK_BYTES]);
        verdict(found.into_iter().chain((!has_end).then(|| "the tar has no end".to_owned())))
    }
}
