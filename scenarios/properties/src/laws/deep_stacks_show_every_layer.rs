//! `merged tree = model's tree` with 1, 2, 127, 128, 129 and 500 layers below the upper one, one step each: after a
//! remount and when the case ends. 500 is what the kernel takes (`OVL_MAX_STACK` of `fs/overlayfs/params.h`), or as many as the subject
//! promises if those are fewer; around 128 Docker and others have had limits of their own. Cases are that deep only when this law is held alone.
//!
//! Checklist: DL-21, N-22~

use layerlab_model::operation::{Operation, Step};

use super::{Judged, LOWER_LAYERS, Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, Clock};

const DEPTHS: [usize; 6] = [1, 2, 127, 128, 129, 500];

pub static LAW: Deep = Deep;

pub struct Deep;

impl Law for Deep {
    fn name(&self) -> &'static str {
        "deep-stacks-show-every-layer"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 0, remount: 4, ..Weights::default() }
    }

    fn layers_first(&self, seed: u64) -> usize {
        DEPTHS[(seed % DEPTHS.len() as u64) as usize]
    }

    /// To read the tree of so many layers takes a while.
    fn looks_at(&self, step: &Step, is_last: bool) -> bool {
        is_last || step.operation == Operation::Remount
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    clock: Clock,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if !LAW.looks_at(moment.step, moment.is_last) {
            return Ok(Judged::NotAsked);
        }
        let depth = moment.depth;
        if depth == 0 {
            return Ok(Judged::Lacking(LOWER_LAYERS));
        }
        if moment.model.promises().layers_max == 1 {
            return Ok(Judged::Lacking("stacks of layers: one lies below"));
        }
        if !DEPTHS.contains(&depth) && depth != moment.model.promises().lower_layers_max {
            return Ok(Judged::NotAsked);
        }
        let expected = moment.expected_tree();
        let found = tree::differences(expected, &moment.after.merged, &mut self.clock);
        verdict(found.iter().map(|difference| format!("with {depth} layers below: {difference}")))
    }
}
