//! skopeo, which carries images, and umoci, which unpacks and packs them: what is used where no engine is wanted.

use super::{Peer, Speaks, all_found, version};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    let [skopeo, umoci] = all_found(["skopeo", "umoci"], "skopeo umoci")?;
    Ok(Peer {
        name,
        speaks: Speaks::Tools,
        version: format!("{}, {}", version(&skopeo, "--version")?, version(&umoci, "--version")?),
        // The first word that it is given is a program's name.
        words: vec!["env".into()],
        variables: vec![("HOME", bed.directory("home")?.into())],
        daemon: None,
    })
}
