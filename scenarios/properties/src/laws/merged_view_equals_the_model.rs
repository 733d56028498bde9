//! `result(step) = model(step)` and `merged tree = model's tree`, after every step: type, mode, owner, time, content, xattrs,
//! number of names, and which names are one file. A time that no step changes stays the same to the nanosecond, through copy-up,
//! commit and remount. A time that a step moves is one between that step's beginning and its end.
//!
//! Checklist: DL-01, DL-02, DL-03, CU-01, CU-03, CU-04, CU-05, CU-06~, CU-07, CU-08, CU-09~, CU-15, CU-16~, CU-19
//! Checklist: XA-01~, XA-03~, XA-05~, XA-06, HL-01, HL-02, HL-03~, HL-12, HL-13, WH-03, WH-04, WH-05~, WH-06, OP-06
//! Checklist: OP-07, RN-01, RN-03, RN-04, RN-05, RN-06~, RN-08~, RN-09~, RN-10~, RD-01, RD-02, IN-04~, FD-01, FD-03
//! Checklist: FD-06~, FD-07~, PM-01, PM-02, PM-04, SP-01, SP-02, SY-01, SY-02, SY-04, SY-07~, PX-01~, PX-02~, PX-03~
//! Checklist: XA-07~, RD-05~, PX-04~, PX-05~, N-04, N-06~, N-23~

use super::{Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::tree::{self, Clock, Difference, Field, When};

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

impl Watching {
    /// Times that are seen for the first time and were not taken by the step that should have taken them.
    fn untimely(&self, moment: &Moment<'_>) -> Vec<Difference> {
        let mut found = Vec::new();
        for (path, facts) in moment.expected_tree() {
            let When::Reading(reading) = facts.mtime else { continue };
            if self.clock.contains_key(&reading) {
                continue;
            }
            let is = moment.after.merged.get(path).map(|real| real.mtime);
            if let (Some(When::Time(is)), Some((began, ended))) = (is, moment.taken(reading))
                && !(began..=ended).contains(&is)
            {
                let what = format!("mtime should lie between {began} and {ended}, is {is}");
                found.push(Difference { path: path.clone(), field: Field::Mtime, what });
            }
        }
        found
    }
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.expected != moment.actual {
            return Err(vec![format!("the last step should give {:?}, gives {:?}", moment.expected, moment.actual)]);
        }
        let expected = moment.expected_tree();
        let untimely = self.untimely(moment);
        let found = tree::differences(expected, &moment.after.merged, &mut self.clock);
        let links = tree::link_differences(expected, &moment.after.merged);
        verdict(found.iter().chain(&links).chain(&untimely).map(ToString::to_string))
    }
}
