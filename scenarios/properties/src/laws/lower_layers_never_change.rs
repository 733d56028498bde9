//! `lower layers after = lower layers before`, whatever is done to the merged tree. Compared whenever a layer is added, at a
//! remount, and at the end of a case.
//!
//! Checklist: CU-13~

use layerlab_model::operation::Operation;

use super::{Judged, LOWER_LAYERS, Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::tree::{self, Inodes, Tree};

pub static LAW: LowerLayers = LowerLayers;

pub struct LowerLayers;

impl Law for LowerLayers {
    fn name(&self) -> &'static str {
        "lower-layers-never-change"
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    layers: Vec<Tree>,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if !moment.is_last && !matches!(moment.step.operation, Operation::Commit | Operation::Remount) {
            return Ok(Judged::NotAsked);
        }
        if moment.lowers.is_empty() {
            return Ok(Judged::Lacking(LOWER_LAYERS));
        }
        let (mut found, known) = (Vec::new(), self.layers.len());
        for (number, layer) in moment.lowers.iter().enumerate() {
            let now = tree::of_disk(layer).map_err(|errno| vec![format!("layer {number} cannot be read: {errno}")])?;
            match self.layers.get(number) {
                Some(before) => {
                    let changes = tree::changes(before, &now, Inodes::Compared);
                    found.extend(changes.iter().map(|change| format!("layer {number}: {change}")));
                }
                None => self.layers.push(now),
            }
        }
        if known == 0 { Ok(Judged::NotAsked) } else { verdict(found) }
    }
}
