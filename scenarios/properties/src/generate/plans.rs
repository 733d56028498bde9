//! Steps that belong together, of which random ones would seldom come one after another.

use layerlab_model::operation::Operation;
use layerlab_model::text::Text;

use super::paths::Known;
use super::{Generator, NEW};

/// The most paths that are replaced at once.
const REPLACED_MAX: usize = 5;

impl Generator {
    /// Decides the next steps.
    pub(super) fn plan(&mut self, tree: &Known) {
        self.plan_replacement(tree);
    }

    /// Something with all that is in it makes room for something else of the same name: what lies below must not come back.
    fn plan_replacement(&mut self, tree: &Known) {
        let top = self.of(&tree.all);
        let mut all: Vec<&Text> = tree.all.iter().filter(|path| is_within(path, &top)).collect();
        if top.as_bytes() == b"/" || all.len() > REPLACED_MAX {
            return;
        }
        // Deepest first.
        all.sort();
        for path in all.into_iter().rev() {
            self.planned.push_back(match tree.others.contains(path) {
                true => Operation::Unlink { path: path.clone() },
                false => Operation::Rmdir { path: path.clone() },
            });
        }
        let new = match self.below(4) {
            0 => Operation::Open { slot: self.any_slot(), path: top, flags: NEW, mode: self.create_mode() },
            1 => Operation::Symlink { content: Text::from("a"), path: top },
            _ => Operation::Mkdir { path: top, mode: 0o755 },
        };
        self.planned.push_back(new);
        if self.one_in(2) {
            self.planned.push_back(Operation::Commit);
        }
    }
}

/// Whether `path` is `top` or below it.
fn is_within(path: &Text, top: &Text) -> bool {
    path.as_bytes().strip_prefix(top.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
