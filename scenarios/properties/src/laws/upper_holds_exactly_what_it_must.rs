//! `upper layer = what the model changed`: the names, whiteouts, opaque marks and redirects that must be there, and no others.
//! overlayfs's book-keeping (origin, impure, nlink, uuid) may be there, where it belongs, and says what is so.
//!
//! Checklist: CU-08, CU-14, XA-02, HL-02, WH-01, WH-03, WH-04, OP-01, RN-02, RN-07~, PM-04, N-05, N-06~

use super::{Judged, Law, UPPER_LAYER, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::private;
use crate::tree::{self, Clock};

pub static LAW: Upper = Upper;

pub struct Upper;

impl Law for Upper {
    fn name(&self) -> &'static str {
        "upper-holds-exactly-what-it-must"
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
        let Some(upper) = &moment.after.upper else { return Ok(Judged::Lacking(UPPER_LAYER)) };
        let expected = tree::of_upper(moment.model.union());
        let found = tree::differences(&expected, upper, &mut self.clock);
        let links = tree::link_differences(&expected, upper);
        let private = private::faults(moment.model.union(), moment.model.promises(), upper);
        let found = found.iter().chain(&links).map(ToString::to_string).chain(private);
        verdict(found.map(|found| format!("upper: {found}")))
    }
}
