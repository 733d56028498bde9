//! crun and runc: what starts the process in the end, on a directory that somebody else has prepared.

use super::{Missing, Peer, Speaks, all_found, version, wants_root};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Result<Peer, Missing>> {
    let here = wants_root(bed).and_then(|()| all_found([name], name));
    let [program] = match here {
        Ok(programs) => programs,
        Err(missing) => return Ok(Err(missing)),
    };
    let root = bed.directory(&format!("{name}-state"))?;
    Ok(Ok(Peer {
        name,
        speaks: Speaks::Runtime,
        version: version(&program, "--version")?,
        words: vec![program.into(), "--root".into(), root.into()],
        variables: Vec::new(),
        daemon: None,
    }))
}
