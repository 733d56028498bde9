//! The floor: the least that has to be done, in this process, without books, locks or options. What it does each workload says.

use super::{Peer, Speaks, wants_root};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    wants_root(bed)?;
    Ok(Peer {
        name,
        speaks: Speaks::Nothing,
        version: "what cannot be left out, done by this program itself".to_owned(),
        words: Vec::new(),
        variables: Vec::new(),
        daemon: None,
    })
}
