//! `apply(diff(layer), below) = tree`, and `diff` is the same each time: what a layer's tar carries comes out of it again, on the
//! same driver.
//!
//! A layer tar has whole seconds, no sockets, and of the extended attributes `security.capability` alone (moby's archive package).
//!
//! Checklist: XA-05~, HL-07, DF-02~, DF-06, SP-04, N-11~

use layerlab_model::text::Text;

use super::{Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, Clock, Tree, When};

pub static LAW: Applying = Applying;

pub struct Applying;

impl Law for Applying {
    fn name(&self) -> &'static str {
        "applying-a-diff-gives-the-tree"
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
        let Some(applied) = &moment.applied else { return Ok(()) };
        let [once, again] = &applied.diff_ids;
        let is_other = (once != again).then(|| format!("the layer is {once}, and {again} when it is written again"));
        let tree = &moment.before.merged;
        let (expected, actual) = (carried(tree, tree), carried(&applied.tree, tree));
        let found = tree::differences(&expected, &actual, &mut Clock::new());
        let links = tree::link_differences(&expected, &actual);
        let found = found.iter().chain(&links).map(|difference| format!("applied: {difference}"));
        verdict(is_other.into_iter().chain(found))
    }
}

/// What of a tree a layer tar can carry. The root is no entry of it; where `told` has a socket the tar says nothing at all, and
/// what lies below comes back.
fn carried(tree: &Tree, told: &Tree) -> Tree {
    let is_socket = |path: &[u8]| told.get(&Text::from(path)).is_some_and(|facts| facts.kind == 's');
    let is_hidden = |path: &Text| {
        let path = path.as_bytes();
        let ends = (0..path.len()).filter(|at| path[*at] == b'/').chain([path.len()]);
        ends.into_iter().any(|end| is_socket(&path[..end]))
    };
    let entries = tree.iter().filter(|(path, _)| !path.as_bytes().is_empty() && !is_hidden(path));
    let mut carried: Tree = entries.map(|(path, facts)| (path.clone(), facts.clone())).collect();
    for facts in carried.values_mut() {
        facts.xattrs.retain(|name, _| name.as_bytes() == b"security.capability");
        if let When::Time(time) = &mut facts.mtime {
            time.nanoseconds = 0;
        }
    }
    carried
}
