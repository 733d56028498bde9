//! `attributes(copy) = attributes(original)`, but for what the step itself changes: type, mode, owner, time to the nanosecond,
//! extended attributes, content, device, of the file and of every directory above it.
//!
//! Checklist: CU-03, CU-04, CU-06~, CU-07, CU-08, CU-09~, XA-02, XA-05~, SP-02

use std::collections::HashMap;

use layerlab_model::inode::At;
use layerlab_model::text::Text;

use super::{COPY_UP, Judged, Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, Facts, Field};

pub static LAW: CopyUp = CopyUp;

pub struct CopyUp;

impl Law for CopyUp {
    fn name(&self) -> &'static str {
        "copy-up-keeps-every-attribute"
    }

    fn weights(&self) -> Weights {
        Weights { attributes: 40, commit: 10, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let union = moment.model.union();
        let copied = moment.model.copied();
        if copied.is_empty() {
            return Ok(if moment.model.promises().layers { Judged::NotAsked } else { Judged::Lacking(COPY_UP) });
        }
        let names: HashMap<At, Text> =
            union.walk().iter().map(|(names, seen)| (seen.top(), tree::path(names))).collect();
        let mut found = Vec::new();
        for moved in copied {
            let from = tree::path(&moved.path);
            let Some(to) = names.get(&moved.to) else { continue };
            let (Some(original), Some(copy)) = (moment.before.merged.get(&from), moment.after.merged.get(to)) else {
                continue;
            };
            let may_change = changed(&tree::of_inode(union, moved.from), &tree::of_inode(union, moved.to));
            let lost = changed(original, copy).into_iter().filter(|field| !may_change.contains(field));
            found.extend(lost.map(|field| format!("/{to} was copied up and has another {}", field.word())));
        }
        verdict(found)
    }
}

/// The attributes in which two differ. How many names it has is the merged tree's to tell.
fn changed(one: &Facts, other: &Facts) -> Vec<Field> {
    let mut fields = tree::different_fields(one, other);
    fields.retain(|field| *field != Field::Links);
    fields
}
