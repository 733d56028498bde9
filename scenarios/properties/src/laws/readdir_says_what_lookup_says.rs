//! `name ∈ readdir(d) ⇔ lookup(d, name)`, with the type that lookup gives (`d_type`): no whiteout shows, nothing is hidden.
//!
//! What is listed is looked up when the tree is read; here every name of the upper layer, and of the
//! tree before the step, that is not listed is looked up too.
//!
//! Checklist: WH-02, RD-01, RD-03~

use super::{Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::tree::NOT_THERE;
use layerlab_model::text::Text;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

pub static LAW: Readdir = Readdir;

pub struct Readdir;

impl Law for Readdir {
    fn name(&self) -> &'static str {
        "readdir-says-what-lookup-says"
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let listed = &moment.after.merged;
        let wrong_types = listed.iter().filter(|(_, facts)| !facts.is_listed_as_what_it_is);
        let wrong_types = wrong_types.map(|(path, _)| format!("/{path} is listed with another type than it has"));
        let ghosts = listed.iter().filter(|(_, facts)| facts.kind == NOT_THERE);
        let ghosts = ghosts.map(|(path, _)| format!("/{path} is listed, and cannot be looked up"));
        let known = moment.after.upper.iter().flat_map(|upper| upper.keys()).chain(moment.before.merged.keys());
        let hidden = known.filter(|path| !listed.contains_key(*path) && is_there(path));
        verdict(
            ghosts.chain(wrong_types).chain(hidden.map(|path| format!("/{path} is not listed, and can be looked up"))),
        )
    }
}

/// The thread's root is the merged tree. A symbolic link on the way would lead elsewhere.
fn is_there(path: &Text) -> bool {
    let path = [b"/", path.as_bytes()].concat();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, &path[..], flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok()
}
