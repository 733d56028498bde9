//! What must hold of a layer that was received.

use std::os::fd::OwnedFd;

use layerlab_engine::layer::tar_split;
use layerlab_model::inode::Node;
use layerlab_model::received::{Entry, File, Kind, Refusal, Tree, is_whole};
use rustix::fs::{Mode, OFlags};

use super::{Canary, Case, NOT_ASKED, Received, when, word};
use crate::laws::{Judged, Verdict, verdict};
use crate::tree::{self, Clock, Facts, Marks};

/// A layer that was received.
pub(super) struct Moment<'a> {
    pub case: &'a Case<'a>,
    /// Its entries.
    pub entries: &'a [Entry],
    /// As it was sent.
    pub tar: &'a [u8],
    /// What it should make of what lies below, or why it should be refused.
    pub expected: &'a Result<Tree, Refusal>,
    /// What became of it.
    pub received: &'a Result<Received, String>,
    /// What came of it on disk and in this process, in words.
    pub left: &'a [String],
    pub canary: &'a Canary,
}

/// A law's name, and what it makes of a layer.
pub(super) type Law = (&'static str, fn(&Moment<'_>) -> Verdict);

/// Every law.
pub(super) const LAWS: [Law; 5] = [
    ("received-layers-leave-nothing-behind", leaves_nothing_behind),
    ("received-layers-touch-nothing-else", touches_nothing_else),
    ("received-layers-give-the-models-tree", gives_the_models_tree),
    ("received-tars-come-back", comes_back),
    ("what-no-layer-may-be-is-refused", is_refused),
];

fn touches_nothing_else(moment: &Moment<'_>) -> Verdict {
    let now = Canary::read(&moment.canary.place).map_err(|error| vec![error.to_string()])?;
    let (mut clock, before) = (Clock::new(), &moment.canary.before);
    verdict(tree::differences(before, &now, &mut clock).into_iter().map(|it| format!("beside the store, {it}")))
}

fn leaves_nothing_behind(moment: &Moment<'_>) -> Verdict {
    verdict(moment.left.iter().cloned())
}

fn is_refused(moment: &Moment<'_>) -> Verdict {
    match (moment.expected, moment.received) {
        (Err(refusal), Ok(_)) => Err(vec![format!("it was unpacked, though {}", word(*refusal))]),
        (Ok(_), Err(reason)) => Err(vec![format!("it was refused: {reason}")]),
        _ => Ok(Judged::Held),
    }
}

fn comes_back(moment: &Moment<'_>) -> Verdict {
    let (Ok(received), Some(id)) = (moment.received, moment.case.layers.last()) else { return NOT_ASKED };
    if !is_whole(moment.entries) {
        return NOT_ASKED;
    }
    let mut again = Vec::new();
    let files = moment.case.driver.own_files(id);
    let assembled = tar_split::assemble(&received.record[..], &files, &mut again);
    assembled.map_err(|error| vec![format!("its tar cannot be put together: {error}")])?;
    verdict(
        (again != moment.tar)
            .then(|| format!("{} bytes were sent, and {} others come back", moment.tar.len(), again.len())),
    )
}

fn gives_the_models_tree(moment: &Moment<'_>) -> Verdict {
    let (Ok(expected), Ok(_), Some(id)) = (moment.expected, moment.received, moment.case.layers.last()) else {
        return NOT_ASKED;
    };
    let failed = |error: &dyn std::fmt::Display| vec![format!("its tree cannot be read: {error}")];
    let view = moment.case.driver.view(id).map_err(|error| failed(&error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root: OwnedFd = rustix::fs::open(view.path(), flags, Mode::empty()).map_err(|error| failed(&error))?;
    let mut actual = tree::of_disk(&root).map_err(|error| failed(&error))?;
    // overlayfs lists a whiteout in a directory that is merged with none (`ovl_iterate_real` of `fs/overlayfs/readdir.c`), and the lowest layer alone
    // is no mount: dockerd shows both.
    let graph = moment.case.driver.graph(id).map_err(|error| failed(&error))?;
    let is_stacked = graph.data.iter().any(|(key, _)| key == "UpperDir");
    actual.retain(|_, facts| !is_stacked || !['w', tree::NOT_THERE].contains(&facts.kind));
    if is_stacked && moment.case.layers.len() == 1 {
        actual.values_mut().for_each(|facts| facts.marks = Marks::default());
    }
    let expected = as_read(expected, &actual);
    let mut found = tree::differences(&expected, &actual, &mut Clock::new());
    found.extend(tree::link_differences(&expected, &actual));
    verdict(found.into_iter().map(|difference| difference.to_string()))
}

/// The model's tree as it would be read. A directory that no entry names belongs to the superuser and everybody may look into it; its
/// time is any.
fn as_read(expected: &Tree, actual: &tree::Tree) -> tree::Tree {
    let mut names = vec![0_u64; expected.all().map(|(_, number, _)| number + 1).max().unwrap_or(0)];
    expected.all().for_each(|(_, number, _)| names[number] += 1);
    let facts = |path, number: usize, file: &File| {
        let real = actual.get(path);
        let (mode, owner, mtime, xattrs) = match &file.meta {
            Some(meta) => (meta.mode, (meta.uid, meta.gid), when(meta.mtime), meta.xattrs.clone()),
            None => (
                0o755,
                (0, 0),
                real.map_or(when(layerlab_model::inode::Time { seconds: 0, nanoseconds: 0 }), |real| real.mtime),
                Default::default(),
            ),
        };
        let (kind, content, device) = match &file.kind {
            Kind::File(content) => ('-', content.clone(), (0, 0)),
            Kind::Directory | Kind::Link(_) => ('d', Vec::new(), (0, 0)),
            Kind::Symlink(target) => ('l', target.0.clone(), (0, 0)),
            Kind::Node(Node::Fifo) => ('p', Vec::new(), (0, 0)),
            Kind::Node(Node::Socket) => ('s', Vec::new(), (0, 0)),
            Kind::Node(Node::Character { major, minor }) => ('c', Vec::new(), (*major, *minor)),
            Kind::Node(Node::Block { major, minor }) => ('b', Vec::new(), (*major, *minor)),
        };
        Facts {
            kind,
            // Linux has no modes of links.
            mode: if kind == 'l' { 0o777 } else { mode },
            owner,
            mtime,
            content,
            device,
            links: real.map_or(0, |real| if kind == 'd' { real.links } else { names[number].max(real.links) }),
            identity: (0, number as u64),
            xattrs,
            marks: Marks::default(),
            private: Default::default(),
            is_listed_as_what_it_is: true,
            is_listed_with_its_inode: real.is_none_or(|real| real.is_listed_with_its_inode),
        }
    };
    expected.all().map(|(path, number, file)| (path.clone(), facts(path, number, file))).collect()
}
