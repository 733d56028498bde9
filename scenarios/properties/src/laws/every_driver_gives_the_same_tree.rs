//! `apply(layers, any driver, any order) = tree`: all layers of a case, unpacked upwards, downwards or at once into an empty store
//! of each driver, give the tree. Looked at when a case ends; not where it had a socket, which no layer tar carries.
//!
//! Checklist: DF-06, CN-06, N-07~

use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, sight, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::{Diff, Order, Tar};
use crate::tar;
use crate::tree::Tree;

pub static LAW: EveryDriver = EveryDriver;

pub struct EveryDriver;

impl Law for EveryDriver {
    fn name(&self) -> &'static str {
        "every-driver-gives-the-same-tree"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn takes_its_time(&self) -> bool {
        true
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    /// The merged tree at each commit.
    trees: Vec<Tree>,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation == Operation::Commit {
            self.trees.push(moment.before.merged.clone());
        }
        let Some(tree) = self.trees.last().filter(|_| moment.is_last) else { return Ok(Judged::NotAsked) };
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        if self.trees.iter().any(tar::has_sockets) {
            return Ok(Judged::NotAsked);
        }
        let applied = frozen.ask(|frozen| {
            let own: Vec<Tar> =
                (0..frozen.depth()).map(|number| frozen.tar(number, Diff::Own)).collect::<Result<_, _>>()?;
            let mut applied = Vec::new();
            for driver in frozen.elsewhere() {
                for order in [Order::Upwards, Order::Downwards, Order::Together] {
                    let tree = frozen.applied_elsewhere(driver, &own, order)?.read()?;
                    applied.push((format!("{driver}, {order:?}"), tree));
                }
            }
            Ok(applied)
        })?;
        let sight = sight(moment);
        let found = applied.iter().flat_map(|(how, applied)| {
            let found = tar::differences(tree, applied, sight);
            found.into_iter().map(move |difference| format!("applied on {how}: {difference}"))
        });
        verdict(found)
    }
}
