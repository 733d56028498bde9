//! Our engine, as it was built beside this program, or as `LAYERLAB_ENGINE` says.

use std::env;
use std::path::PathBuf;

use anyhow::bail;

use super::{Missing, Peer, Speaks, version};
use crate::bed::Bed;

pub fn begin(name: &'static str, bed: &Bed) -> anyhow::Result<Peer> {
    let beside = || Some(env::current_exe().ok()?.with_file_name("layerlab"));
    let Some(program) = env::var_os("LAYERLAB_ENGINE").map(PathBuf::from).or_else(beside).filter(|path| path.is_file())
    else {
        bail!(Missing("not built: cargo xtask bench builds it".to_owned()));
    };
    let (data, exec) = (bed.directory(name)?, bed.directory(&format!("{name}-exec"))?);
    Ok(Peer {
        name,
        speaks: Speaks::Docker,
        version: version(&program, "--version")?,
        words: vec![program.into(), "--data-root".into(), data.into(), "--exec-root".into(), exec.into()],
        variables: Vec::new(),
        daemon: None,
    })
}
