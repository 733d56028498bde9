//! crun and runc: what starts the process in the end, on a directory that somebody else has prepared.

use super::{Peer, Speaks, all_found, version, wants_root};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    let [program] = all_found([name], name)?;
    let root = bed.directory(&format!("{name}-state"))?;
    Ok(Peer {
        name,
        speaks: Speaks::Runtime,
        version: version(&program, "--version")?,
        words: vec![program.into(), "--root".into(), root.into()],
        variables: Vec::new(),
        daemon: None,
    })
}
