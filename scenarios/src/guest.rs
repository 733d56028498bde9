//! TEMP
use std::path::{Path, PathBuf};
#[derive(Debug, thiserror::Error)]
#[error("no guest")]
pub struct GuestError;
pub fn build(_root: &Path, _progress: &mut dyn FnMut(&str)) -> Result<PathBuf, GuestError> {
    std::env::var_os("LAYERLAB_GUEST").map(PathBuf::from).ok_or(GuestError)
}
