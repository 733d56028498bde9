//! `changes(layer) = changes(model)`: what `docker diff` would show of a layer is what comparing the model's trees finds, letter by
//! letter, path by path. The model does not know the clock, and two of its readings can be one time: times are those that the tree shows.
//!
//! Checklist: OP-05, RN-11, DF-01, DF-02, DF-03~

use std::collections::BTreeSet;

use layerlab_model::changes::{self, Diff, Flat, Leaf, Letter, Names, Said};
use layerlab_model::inode::Stamp;
use layerlab_model::operation::Operation;
use layerlab_model::text::Text;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, When};

pub static LAW: Changes = Changes;

pub struct Changes;

impl Law for Changes {
    fn name(&self) -> &'static str {
        "changes-are-the-models"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    below: Flat,
    /// What the upper layer said when it was copied last, where a commit copies it.
    copied: Diff,
    /// How many layers lay below it.
    depth: usize,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let mut tree = changes::flat(moment.model.union());
        for (names, leaf) in &mut tree {
            if let Some(When::Time(time)) = moment.after.merged.get(&tree::path(names)).map(|facts| facts.mtime) {
                leaf.meta.mtime = Stamp::Set(time);
            }
        }
        let (union, promises) = (moment.model.union(), moment.model.promises());
        let is_copied = union.depth() == std::mem::replace(&mut self.depth, union.depth());
        let marked = changes::diff_of(union, if is_copied { union.depth() } else { union.depth() - 1 });
        let marked_below = std::mem::replace(&mut self.copied, if is_copied { marked.clone() } else { Diff::new() });
        // The root that shows now may be that of the new layer.
        if let Some(Said::Is { leaf, .. }) = marked.get(&Names::new()).filter(|_| promises.layers) {
            tree.insert(Names::new(), leaf.clone());
        }
        let below = std::mem::replace(&mut self.below, tree);
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let line = |(letter, names): &(Letter, Names)| format!("{letter:?} /{}", tree::path(names));
        let is_opaque = |diff: &Diff, names: &[Text]| matches!(diff.get(names), Some(Said::Is { is_opaque: true, .. }));
        let replaced = |names: &[Text]| match (promises.replaced_directories_are_told, promises.layers) {
            (false, _) => false,
            // A copy has the marks too.
            (true, true) => is_opaque(&marked, names) && !is_opaque(&marked_below, names),
            (true, false) => below.get(names).map(|leaf| leaf.file) != self.below.get(names).map(|leaf| leaf.file),
        };
        // In a directory of the upper layer that nothing lies below a mark is free to come, and a copy shows that it came.
        let may_be_replaced = |names: &[Text]| {
            let is_free = |leaf: &Leaf| {
                union.is_upper(leaf.file) && union.inode(leaf.file).directory().is_some_and(|it| it.below.is_empty())
            };
            let is_free_in = |tree: &Flat| tree.get(names).is_some_and(is_free);
            is_copied && promises.layers && !is_opaque(&marked, names) && is_free_in(&below) && is_free_in(&self.below)
        };
        let lines = |below: &Flat, tree: &Flat, replaced: &dyn Fn(&[Text]) -> bool| -> BTreeSet<String> {
            changes::seen(below, tree, replaced).iter().map(line).collect()
        };
        let least = lines(&without_clock(&below), &without_clock(&self.below), &replaced);
        let most = lines(&below, &self.below, &|names| replaced(names) || may_be_replaced(names));
        let actual = frozen.ask(|frozen| Ok(frozen.changes()?))?;
        let actual: BTreeSet<String> = actual.into_iter().map(|(letter, path)| format!("{letter} {path}")).collect();
        let missing = least.difference(&actual).map(|line| format!("the diff should say {line}"));
        let too_many = actual.difference(&most).map(|line| format!("the diff should not say {line}"));
        verdict(missing.chain(too_many))
    }
}

/// The tree with all times that the clock gave, and the merged tree does not tell, as one: two of them can be one.
fn without_clock(tree: &Flat) -> Flat {
    let mut tree = tree.clone();
    for leaf in tree.values_mut() {
        if matches!(leaf.meta.mtime, Stamp::Clock(_)) {
            leaf.meta.mtime = Stamp::Clock(0);
        }
    }
    tree
}
