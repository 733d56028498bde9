//! `result(step) = model(step)` and `merged tree = model's tree`, after every step: type, mode, owner, time, content, xattrs,
//! number of names, and which names are one file. A time that no step changes stays the same to the nanosecond, through copy-up,
//! commit and remount.

use super::{Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::tree::{self, Clock};

pub static LAW: MergedView = MergedView;

pub struct MergedView;

impl Law for MergedView {
    fn name(&self) -> &'static str {
        "merged-view-equals-the-model"
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
        if moment.expected != moment.actual {
            return Err(vec![format!("the last step should give {:?}, gives {:?}", moment.expected, moment.actual)]);
        }
        let expected = moment.expected_tree();
        let found = tree::differences(expected, &moment.after.merged, &mut self.clock);
        let links = tree::link_differences(expected, &moment.after.merged);
        verdict(found.iter().chain(&links).map(ToString::to_string))
    }
}
